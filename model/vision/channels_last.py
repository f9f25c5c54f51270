"""ConvNeXt's blocks for a GPU: channels last throughout, the depthwise convolution as one operator of our own."""

import torch
from timm.models.convnext import ConvNeXt, ConvNeXtBlock

from model.vision.depthwise import depthwise_conv


class ChannelsLastBlock(ConvNeXtBlock):
    """timm's block with the same parameters and, up to rounding, the same result, without cuDNN's convolution.

    Input and output stay [P, C, H, W] in channels-last memory, as the stage around them passes them on, so that both
    permutations are views.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[P, C, H, W] to [P, C, H, W]."""
        x = x.permute(0, 2, 3, 1)
        change = self.mlp(self.norm(depthwise_conv(x, self.conv_dw.weight, self.conv_dw.bias)))
        return (x + self.gamma * change).permute(0, 3, 1, 2)


def fast_blocks(trunk: ConvNeXt) -> None:
    """Give every block of the trunk the forward pass above; parameters, their names and the hooks stay.

    For blocks as ConvNextTower builds them: LayerScale, LayerNorm, linear layers, no stochastic depth.
    """
    for stage in trunk.stages:
        for block in stage.blocks:
            block.__class__ = ChannelsLastBlock
