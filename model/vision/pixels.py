"""uint8 tiles to normalised float pixels, on whatever device the tiles are."""

import torch
from torch import nn


class Normalise(nn.Module):
    """(x / 255 - mean) / std per channel. Each tower owns its own: SigLIP and ConvNeXt were trained with other numbers.

    The constants are buffers outside the state dict: they follow the tower's device and precision, not its checkpoint.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255, persistent=False)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """uint8 [P, H, W, 3] to [P, 3, H, W] in the buffers' precision."""
        return (tiles.permute(0, 3, 1, 2).to(self.mean.dtype) - self.mean) / self.std
