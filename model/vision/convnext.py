"""The ConvNeXt tower: tile pixels to a grid of last-stage features."""

import torch
from timm.models.convnext import ConvNeXt
from torch import nn
from torch.nn import functional as F

from model.config import ConvNextSettings
from model.vision.pixels import Normalise

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
NORM_EPS = 1e-5  # the CLIP-trained XXLarge; timm's default is 1e-6


class ConvNextTower(nn.Module):
    """ConvNeXt up to its last stage: no final norm, no head (paper section 3.3; reference convnext_encoder.py)."""

    def __init__(self, settings: ConvNextSettings) -> None:
        super().__init__()
        self.image_size = settings.image_size
        self.normalise = Normalise(CLIP_MEAN, CLIP_STD)
        self.trunk = ConvNeXt(
            depths=settings.depths, dims=settings.dims, num_classes=0, global_pool="", norm_eps=NORM_EPS
        )
        for unused in ("norm_pre", "head"):
            setattr(self.trunk, unused, nn.Identity())

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """uint8 tiles [P, H, W, 3] to features [P, side, side, C].

        Resized in float32 with align_corners, as the reference does. It normalises for SigLIP first and maps that to
        CLIP's numbers; both are affine per channel and commute with the resize, so the pixels are the same.
        """
        pixels, precision = self.normalise(tiles), self.trunk.stem[0].weight.dtype
        size = (self.image_size, self.image_size)
        if pixels.shape[-2:] != size:
            pixels = F.interpolate(pixels.float(), size=size, mode="bilinear", align_corners=True)
        pixels = pixels.to(precision, memory_format=torch.channels_last)
        return self.trunk.stages(self.trunk.stem(pixels)).permute(0, 2, 3, 1)
