"""ConvNeXt for a GPU: channels last throughout, one operator for the depthwise convolution, matrices for the rest."""

import torch
from timm.models.convnext import ConvNeXt, ConvNeXtBlock
from torch import nn
from torch.nn import functional as F

from model.vision.depthwise import depthwise_conv


class ChannelsLastBlock(ConvNeXtBlock):
    """timm's block with the same parameters and, up to rounding, the same result, without cuDNN's convolution.

    Input and output stay [P, C, H, W] in channels-last memory, as the stage around them passes them on, so that both
    permutations are views. LayerScale is multiplied into the second matrix: its gradient then comes from that of the
    matrix, so that nothing needs the matrix's result in the backward pass, neither to keep it nor to compute it again.
    """

    gamma: nn.Parameter

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[P, C, H, W] to [P, C, H, W]."""
        x, mlp = x.permute(0, 2, 3, 1), self.mlp
        hidden = mlp.act(mlp.fc1(self.norm(depthwise_conv(x, self.conv_dw.weight, self.conv_dw.bias))))
        if type(mlp.fc2) is nn.Linear:
            change = F.linear(hidden, self.gamma[:, None] * mlp.fc2.weight, self.gamma * mlp.fc2.bias)
        else:  # an FP8 layer multiplies its own way
            change = self.gamma * mlp.fc2(hidden)
        return (x + change).permute(0, 3, 1, 2)


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
