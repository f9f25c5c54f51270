"""ConvNeXt for a GPU: channels last throughout, one operator for the depthwise convolution, matrices for the rest."""

import torch
from timm.models.convnext import ConvNeXt, ConvNeXtBlock
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from model.vision.depthwise import depthwise_conv


class ChannelsLastBlock(ConvNeXtBlock):
    """timm's block with the same parameters and, up to rounding, the same result, without cuDNN's convolution.

    Input and output stay [P, C, H, W] in channels-last memory, as the stage around them passes them on, so that both
    permutations are views. With `recompute` the block keeps its input alone and computes the rest again in the
    backward pass; within torch.compile that leaves out the second matrix, whose result no gradient needs.
    """

    recompute = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[P, C, H, W] to [P, C, H, W]."""
        x = x.permute(0, 2, 3, 1)
        if self.recompute and torch.is_grad_enabled():
            y = checkpoint(self._channels_last, x, use_reentrant=False, preserve_rng_state=False)
        else:
            y = self._channels_last(x)
        return y.permute(0, 3, 1, 2)

    def _channels_last(self, x: torch.Tensor) -> torch.Tensor:
        """[P, H, W, C] to [P, H, W, C]."""
        mlp = self.mlp
        hidden = mlp.act(mlp.fc1(self.norm(depthwise_conv(x, self.conv_dw.weight, self.conv_dw.bias))))
        if type(mlp.fc2) is not nn.Linear:  # an FP8 layer has its own way to multiply
            return x + self.gamma * mlp.fc2(hidden)
        # LayerScale goes into the matrix: its gradient then comes from the matrix's, not from a kept activation
        return x + F.linear(hidden, self.gamma[:, None] * mlp.fc2.weight, self.gamma * mlp.fc2.bias)


class PatchConv(nn.Conv2d):
    """A convolution whose stride is its size, as one matrix: cuDNN is slow at those with few channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[P, C, H, W] to [P, C', H / k, W / k]; k divides H and W."""
        size = self.kernel_size[0]
        rows = x.permute(0, 2, 3, 1).unflatten(2, (-1, size)).unflatten(1, (-1, size))
        patches = rows.transpose(2, 3).flatten(3)  # [P, H / k, W / k, k * k * C]
        return F.linear(patches, self.weight.permute(0, 2, 3, 1).flatten(1), self.bias).permute(0, 3, 1, 2)


def fast_blocks(trunk: ConvNeXt) -> None:
    """Give the trunk's blocks the forward pass above; parameters and their names stay.

    For trunks as ConvNextTower builds them: LayerScale, LayerNorm, linear layers, no stochastic depth. It takes and
    gives what it did, in channels-last memory.
    """
    for module in trunk.modules():
        if isinstance(module, ConvNeXtBlock):
            module.__class__ = ChannelsLastBlock


def fast_patches(tower: nn.Module) -> None:
    """Compute a tower's patch convolutions as matrices: SigLIP's first layer, ConvNeXt's stem and downsampling."""
    for module in tower.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == module.stride != (1, 1):
            module.__class__ = PatchConv


def compile_blocks(trunk: ConvNeXt) -> None:
    """Compile stem, downsampling and every block; equal blocks share their code, for any number of tiles.

    With all sizes dynamic there is one graph a width, not one a number of tiles: about 20 in all, so torch's limit of
    8 graphs a function rises.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 32)
    parts = [trunk.stem, *(stage.downsample for stage in trunk.stages)]
    for part in parts + [block for stage in trunk.stages for block in stage.blocks]:
        if not isinstance(part, nn.Identity):
            part.compile(dynamic=True)
