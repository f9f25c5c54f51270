"""The whole numbers by which torch (and Pillow) makes a picture of bytes larger or smaller on the processor.

Along each side a pixel is a weighted sum of neighbours; weights are rounded to 16 bits, sums to a byte. With the same
weights any device gives the same bytes.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}  # the filter's reach to either side, in pixels of the smaller picture
MOST_BITS = 22  # behind the point; torch's bound


@dataclass(frozen=True, slots=True)
class ResizeTable:
    """One side of `length` pixels becomes `size`: sum(weights[tap] * pixel[first + tap]) / 2 ** bits, rounded.

    first: int32 [size]; weights: int32 [taps, size], zero where a pixel has fewer neighbours.
    """

    first: np.ndarray
    weights: np.ndarray
    bits: int


@lru_cache(maxsize=4096)
def resize_table(length: int, size: int, mode: str) -> ResizeTable:
    """Torch's antialiased weights for bytes (aten/src/ATen/native/cpu/UpSampleKernel.cpp); `mode` is torch's."""
    scale = length / size
    support = SUPPORT[mode] * max(scale, 1.0)
    centre = scale * (np.arange(size) + 0.5)
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    count = np.minimum((centre + support + 0.5).astype(np.int64), length) - first
    taps = np.arange(count.max())[:, None]
    distance = (taps + first - centre + 0.5) * (1.0 / scale if scale >= 1.0 else 1.0)
    weights = np.where(taps < count, _filter(np.abs(distance), mode), 0.0)
    weights /= _running_sum(weights)
    bits = _bits(float(weights.max()))
    rounded = np.trunc(weights * (1 << bits) + np.where(weights < 0, -0.5, 0.5))
    return ResizeTable(first.astype(np.int32), rounded.astype(np.int32), bits)


def _filter(distance: np.ndarray, mode: str) -> np.ndarray:
    """The triangle, or Keys' cubic with a = -0.5 (Pillow's)."""
    x = distance
    if mode == "bilinear":
        return np.maximum(1.0 - x, 0.0)
    near, far = (1.5 * x - 2.5) * x * x + 1.0, (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _running_sum(weights: np.ndarray) -> np.ndarray:
    """Added one after the other, as torch does it: numpy's own order rounds otherwise."""
    return np.cumsum(weights, axis=0)[-1]


def _bits(largest: float) -> int:
    """As many as a signed 16-bit number leaves to the largest weight."""
    return next((bits for bits in range(MOST_BITS) if int(0.5 + largest * (1 << (bits + 1))) >= 1 << 15), MOST_BITS)
