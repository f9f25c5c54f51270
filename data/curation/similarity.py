"""Similarity of a new source to a pool, Eq. 1 of the paper, in blocks: never an N x M matrix in memory.

S = (1/N) sum_i max_j [cos(I_i, I_j) * cos(T_i, T_j)], i over the new source's samples, j over the pool's.

Each thread multiplies tiles that stay in its cache and keeps only their row maxima. Vectors may be memory-mapped,
float16 or float32: a few thousand rows at a time are copied as float32.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from data.cores import one_blas_thread, usable_cores
from data.curation.row_views import Vectors

ROW_BLOCK, POOL_BLOCK = 1024, 2048  # a tile: 8 MB of float32 for the product, and as much for a factor
SHARES = 16  # a small source is cut into so many tiles, that every core has work
NEW_ROWS = 32_768  # new rows in memory at once; the pool is read once for each such part
POOL_ROWS = 8192  # pool rows in memory at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """score: S; best: float32 [N], each row's highest product; nearest: int64 [N], the pool row that gives it."""

    score: float
    best: np.ndarray
    nearest: np.ndarray


def has_image(images: Vectors) -> np.ndarray:
    """bool [N]: a sample without an image has the zero vector."""
    parts = [np.any(images[at : at + POOL_ROWS] != 0, axis=1) for at in range(0, len(images), POOL_ROWS)]
    return np.concatenate(parts) if parts else np.zeros(0, bool)


def cosines(one: np.ndarray, other: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """float32 [N, M] of unit vectors [N, D] and [M, D]; never above 1, where rounding would put equal vectors."""
    product = np.matmul(_float32(one), _float32(other).T, out=out)
    return np.minimum(product, np.float32(1), out=product)


def pool_similarity(
    images: Vectors,
    texts: Vectors,
    pool_images: Vectors,
    pool_texts: Vectors,
    *,
    row_block: int | None = None,
    pool_block: int = POOL_BLOCK,
    threads: int | None = None,
) -> Similarity:
    """Eq. 1 for unit vectors [N, D_i], [N, D_t] against [M, D_i], [M, D_t], N and M > 0.

    The product is taken as the equation has it: two negative cosines give a positive one. A new sample without an
    image has the image factor 1; a new sample with an image is at 0 from a pool sample without. On a tie the first
    pool row is the nearest. `threads` (default: the cores that this process may use) changes no digit.
    """
    if not len(texts) or not len(pool_texts):
        raise ValueError("Eq. 1 needs at least one new sample and one pool sample")
    row_block = row_block or min(ROW_BLOCK, -(-len(texts) // SHARES))
    found = Similarity(score=0.0, best=np.full(len(texts), -np.inf, np.float32), nearest=np.zeros(len(texts), np.int64))
    with one_blas_thread(), ThreadPoolExecutor(threads or usable_cores()) as pool:
        for start in range(0, len(texts), NEW_ROWS):
            rows = slice(start, min(start + NEW_ROWS, len(texts)))
            new = _float32(images[rows]), _float32(texts[rows])
            tiles = [slice(at, at + row_block) for at in range(0, rows.stop - rows.start, row_block)]
            parts = [
                _Rows(new[0][tile], new[1][tile], found.best[rows][tile], found.nearest[rows][tile]) for tile in tiles
            ]
            for first, others in _parts(pool_images, pool_texts):
                list(pool.map(lambda part, at=first, far=others: part.sweep(*far, at, pool_block), parts))
    return Similarity(score=float(found.best.mean(dtype=np.float64)), best=found.best, nearest=found.nearest)


def _parts(images: Vectors, texts: Vectors) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    """(first row, (images, texts) as float32) of each part of the pool."""
    for at in range(0, len(texts), POOL_ROWS):
        yield at, (_float32(images[at : at + POOL_ROWS]), _float32(texts[at : at + POOL_ROWS]))


def _float32(vectors: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(vectors, np.float32)


class _Rows:
    """A tile's new rows [R, D], with views of where their best product and its pool row are kept."""

    def __init__(self, images: np.ndarray, texts: np.ndarray, best: np.ndarray, nearest: np.ndarray) -> None:
        self.images, self.texts, self.best, self.nearest = images, texts, best, nearest
        self.pictured = has_image(images)

    def sweep(self, images: np.ndarray, texts: np.ndarray, first: int, block: int) -> None:
        """Raise `best` by the pool rows [M, D], which are numbered from `first`."""
        rows = np.arange(len(self.texts))
        width = min(block, len(texts))
        room = np.empty((2, len(rows) * width), np.float32)
        for at in range(0, len(texts), block):
            others = slice(at, min(at + block, len(texts)))
            shape = (len(rows), others.stop - others.start)
            product, factor = (flat[: shape[0] * shape[1]].reshape(shape) for flat in room)
            cosines(self.texts, texts[others], product)
            if self.pictured.any():
                cosines(self.images, images[others], factor)
                factor[~self.pictured] = 1.0
                np.multiply(product, factor, out=product)
            column = product.argmax(axis=1)
            value = product[rows, column]
            better = value > self.best
            self.best[better] = value[better]
            self.nearest[better] = column[better] + (first + at)
