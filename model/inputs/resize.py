"""Pillow's bicubic resize of RGB pixels, bit for bit, several times faster.

Pillow sums a pixel's neighbours one after the other. The same sums run side by side here: down the picture over a whole
row, across it over `ROWS` rows that were turned to lie side by side. The reference implementations resize with Pillow,
so its pixels are the right ones. The libraries' vector code is as fast but not the same: torch's uint8 resize holds
weights in 16 bits (Pillow: 22) and is off by up to 2 of 255, OpenCV's bicubic has another kernel and no antialiasing.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np

WEIGHT_BITS = 22  # of a weight's fraction: with 8 of the pixel and 2 of overshoot a sum fits in 32
SUPPORT = 2.0  # pixels on each side that a bicubic weighs, before it is widened to shrink a picture
SHARPNESS = -0.5  # Pillow's choice of the cubic family's parameter (Keys 1981)
ROWS = 32
HALF = 1 << (WEIGHT_BITS - 1)  # rounds to nearest


def resize(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3] of uint8 [H, W, 3]: equal to `Image.resize((width, height), BICUBIC)`.

    Two passes, each rounded to 8 bits, so that their order shows in the pixels. It is Pillow 13's, whichever Pillow is
    installed: across first, or down first when the height shrinks much more than the width (Pillow #9549; earlier
    ones always went across first).
    """
    before, size, _ = pixels.shape
    rows = np.ascontiguousarray(pixels).reshape(before, -1)
    if height < before and before - height > 2 * (size - width):
        rows = _resized_across(_resized_down(rows, height), width)
    else:
        rows = _resized_down(_resized_across(rows, width), height)
    return rows.reshape(height, width, 3)


def _resized_down(rows: np.ndarray, height: int) -> np.ndarray:
    return rows if height == len(rows) else _down(rows, *_weights(len(rows), height))


def _resized_across(rows: np.ndarray, width: int) -> np.ndarray:
    """The kernel takes `ROWS` rows at once: a lower picture is filled up and cut again."""
    if 3 * width == rows.shape[1]:
        return rows
    missing = np.zeros((max(ROWS - len(rows), 0), rows.shape[1]), np.uint8)
    filled = np.concatenate([rows, missing]) if len(missing) else rows
    return _across(filled, *_weights(rows.shape[1] // 3, width))[: len(rows)]


@lru_cache(maxsize=256)
def _weights(size: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `wanted` places: the first source pixel [M], how many [M], and their weights [M, most], int32.

    When the picture shrinks, the kernel widens with it (antialiasing); at the edges it is cut and scaled to sum 1.
    """
    scale = size / wanted
    stretch = max(scale, 1.0)
    centres = (np.arange(wanted) + 0.5) * scale
    first = np.maximum((centres - SUPPORT * stretch + 0.5).astype(np.int32), 0)
    after = np.minimum((centres + SUPPORT * stretch + 0.5).astype(np.int32), size)
    places = first[:, None] + np.arange((after - first).max())
    weights = _bicubic((places - centres[:, None] + 0.5) / stretch) * (places < after[:, None])
    weights = weights / weights.sum(axis=1, keepdims=True) * (1 << WEIGHT_BITS)
    return first, after - first, (weights + np.copysign(0.5, weights)).astype(np.int32)


def _bicubic(distance: np.ndarray) -> np.ndarray:
    x, a = np.abs(distance), SHARPNESS
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Machine code without the interpreter's lock, kept on disk where a place for it can be written."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # a read-only installation without a home folder: two seconds in each process
        return numba.njit(nogil=True)(function)


@_compiled
def _down(source: np.ndarray, first: np.ndarray, count: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """uint8 [M, K] of uint8 [N, K]: each row a weighted sum of `count` rows from `first` on."""
    made = np.empty((len(first), source.shape[1]), np.uint8)
    sums = np.empty(source.shape[1], np.int32)
    for place in range(len(first)):
        sums[:] = HALF
        for tap in range(count[place]):
            weight, row = weights[place, tap], source[first[place] + tap]
            for k in range(len(sums)):
                sums[k] += weight * np.int32(row[k])
        for k in range(len(sums)):
            made[place, k] = min(max(sums[k] >> WEIGHT_BITS, 0), 255)
    return made


@_compiled
def _across(source: np.ndarray, first: np.ndarray, count: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """uint8 [H, 3 * M] of uint8 [H, 3 * W], H >= ROWS: each pixel a weighted sum of `count` pixels from `first` on."""
    height, width, wanted = len(source), source.shape[1] // 3, len(first)
    made = np.empty((height, 3 * wanted), np.uint8)
    turned = np.empty((3 * width, ROWS), np.uint8)
    for block in range(0, height, ROWS):
        top = min(block, height - ROWS)  # the last block overlaps: a fixed number of rows is what makes the loops fast
        for k in range(3 * width):
            for row in range(ROWS):
                turned[k, row] = source[top + row, k]
        columns = _down(turned.reshape(width, 3 * ROWS), first, count, weights).reshape(3 * wanted, ROWS)
        for k in range(3 * wanted):
            for row in range(ROWS):
                made[top + row, k] = columns[k, row]
    return made
