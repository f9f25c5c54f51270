"""uint8 tiles to normalised float32 pixels, on whatever device the tiles are."""

from dataclasses import dataclass

import torch

Channels = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """(x / 255 - mean) / std per channel. Each tower owns its own: SigLIP and ConvNeXt were trained with other numbers.

    The constants are plain numbers, not buffers: a network that is cast to bfloat16, or made on the meta device and
    filled from a checkpoint, keeps them exact.
    """

    mean: Channels
    std: Channels

    def __call__(self, tiles: torch.Tensor) -> torch.Tensor:
        """uint8 [P, H, W, 3] to float32 [P, 3, H, W]."""
        channels = tiles.permute(0, 3, 1, 2).float().unbind(1)
        scaled = [(x - 255 * mean) / (255 * std) for x, mean, std in zip(channels, self.mean, self.std, strict=True)]
        return torch.stack(scaled, dim=1)


SIGLIP_PIXELS = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CLIP_PIXELS = Normalisation(mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711))
