"""The ConvNeXt tower: tile pixels to a grid of last-stage features."""

import torch
from timm.models.convnext import ConvNeXt
from torch import nn
from torch.nn import functional as F

from model.config import ConvNextSettings
from model.vision.pixels import CLIP_PIXELS


class ConvNextTower(nn.Module):
    """ConvNeXt up to its last stage: no final norm, no head (paper section 3.3; reference convnext_encoder.py)."""

    def __init__(self, settings: ConvNextSettings) -> None:
        super().__init__()
        self.image_size = settings.image_size
        self.normalise = CLIP_PIXELS
        self.trunk = ConvNeXt(
            depths=settings.depths, dims=settings.dims, num_classes=0, global_pool="", norm_eps=settings.norm_eps
        )
        for unused in ("norm_pre", "head"):
            setattr(self.trunk, unused, nn.Identity())

    def pixels(self, tiles: torch.Tensor) -> torch.Tensor:
        """uint8 tiles [P, H, W, 3] to float32 pixels [P, 3, image_size, image_size] with CLIP's mean and deviation.

        Resized in float32 with align_corners whatever precision the network computes in, as the reference does. It
        normalises for SigLIP first and maps that to CLIP's numbers; both are affine per channel and commute with the
        resize, so the pixels are the same.
        """
        pixels, size = self.normalise(tiles), (self.image_size, self.image_size)
        if pixels.shape[-2:] == size:
            return pixels
        return F.interpolate(pixels, size=size, mode="bilinear", align_corners=True)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """uint8 tiles [P, H, W, 3] to features [P, side, side, C]."""
        precision = next(self.trunk.parameters()).dtype
        pixels = self.pixels(tiles).to(precision, memory_format=torch.channels_last)
        return self.trunk.stages(self.trunk.stem(pixels)).permute(0, 2, 3, 1)
