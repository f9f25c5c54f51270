"""The bf16 rate of a large product on this card: what every MFU here is a share of.

A card that has stood still is colder and clocks higher than one that trains, and 40 ms of products read 692 to 776
TFLOP/s on one H100. So the products run for a second, in windows of some 40 ms, before a case and again after it.
"""

import itertools
import statistics
from dataclasses import dataclass

import torch

WINDOWS, PRODUCTS, SIZE = 24, 30, 8192


@dataclass(frozen=True, slots=True)
class MatmulRate:
    """FLOP/s of each window, in order."""

    windows: tuple[float, ...]

    @property
    def sustained(self) -> float:
        """The windows' median."""
        return statistics.median(self.windows)

    @property
    def best(self) -> float:
        """The fastest window."""
        return max(self.windows)

    def __add__(self, later: "MatmulRate") -> "MatmulRate":
        return MatmulRate(self.windows + later.windows)


def matmul_rate(device: torch.device, windows: int = WINDOWS) -> MatmulRate:
    """Multiply random bf16 matrices of 8192 x 8192 for about a second."""
    left, right = (torch.randn(SIZE, SIZE, device=device, dtype=torch.bfloat16) for _ in range(2))
    left @ right
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(windows + 1)]
    marks[0].record()
    for mark in marks[1:]:
        for _ in range(PRODUCTS):
            left @ right
        mark.record()
    torch.cuda.synchronize()
    flops = PRODUCTS * 2 * SIZE**3
    seconds = (begin.elapsed_time(end) / 1e3 for begin, end in itertools.pairwise(marks))
    return MatmulRate(tuple(flops / each for each in seconds))
