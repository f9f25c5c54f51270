"""The mixture of vision encoders: SigLIP and ConvNeXt side by side, their channels concatenated."""

import torch
from torch import nn

from model.config import ModelSettings
from model.vision.convnext import ConvNextTower
from model.vision.siglip import SiglipTower


def pixel_shuffle(features: torch.Tensor) -> torch.Tensor:
    """[P, 2a, 2b, C] to [P, a, b, 4C]: each 2 x 2 block becomes one token, channels ordered (row, column, C).

    The reference reaches the same order with two view-and-permute steps ("v2" in InternVL's code).
    """
    tiles, rows, columns, channels = features.shape
    blocks = features.reshape(tiles, rows // 2, 2, columns // 2, 2, channels)
    return blocks.permute(0, 1, 3, 2, 4, 5).reshape(tiles, rows // 2, columns // 2, 4 * channels)


class MixtureOfEncoders(nn.Module):
    """Both towers see every tile; the result is [PixelShuffle(SigLIP), ConvNeXt], or SigLIP alone."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.siglip = SiglipTower(settings)
        self.convnext = ConvNextTower(settings.convnext) if settings.convnext is not None else None
        self.channels = 4 * settings.siglip.hidden_size + (settings.convnext.dims[-1] if settings.convnext else 0)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """uint8 tiles [P, H, W, 3] to features [P, tokens per tile, channels]."""
        features = pixel_shuffle(self.siglip(tiles))
        if self.convnext is not None:
            features = torch.cat([features, self.convnext(tiles)], dim=-1)
        return features.flatten(1, 2)
