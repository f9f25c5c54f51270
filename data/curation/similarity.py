"""Similarity of a new source to a pool, Eq. 1 of the paper, in blocks: never an N x M matrix in memory.

S = (1/N) sum_i max_j [cos(I_i, I_j) * cos(T_i, T_j)], i over the new source's samples, j over the pool's.
"""

from dataclasses import dataclass

import numpy as np

ROW_BLOCK, POOL_BLOCK = 512, 4096  # 8 MB per float32 block


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """score: S; best: float32 [N], each row's highest product; nearest: int64 [N], the pool row that gives it."""

    score: float
    best: np.ndarray
    nearest: np.ndarray


def has_image(images: np.ndarray) -> np.ndarray:
    """bool [N]: a sample without an image has the zero vector."""
    return np.einsum("nd,nd->n", images, images) > 0


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[N, M] of unit vectors [N, D] and [M, D]; never above 1, where rounding would put equal vectors."""
    return np.minimum(one @ other.T, np.float32(1))


def pool_similarity(
    images: np.ndarray,
    texts: np.ndarray,
    pool_images: np.ndarray,
    pool_texts: np.ndarray,
    *,
    row_block: int = ROW_BLOCK,
    pool_block: int = POOL_BLOCK,
) -> Similarity:
    """Eq. 1 for unit vectors [N, D_i], [N, D_t] against [M, D_i], [M, D_t], N and M > 0.

    The product is taken as the equation has it: two negative cosines give a positive one. A new sample without an
    image has the image factor 1; a new sample with an image is at 0 from a pool sample without. On a tie the first
    pool row is the nearest.
    """
    if not len(texts) or not len(pool_texts):
        raise ValueError("Eq. 1 needs at least one new sample and one pool sample")
    rows = len(texts)
    best, nearest = np.full(rows, -np.inf, np.float32), np.zeros(rows, np.int64)
    pictured = has_image(images)
    for at in range(0, rows, row_block):
        block = slice(at, min(at + row_block, rows))
        for start in range(0, len(pool_texts), pool_block):
            pool = slice(start, start + pool_block)
            product = cosines(texts[block], pool_texts[pool])
            if pictured[block].any():
                pictures = cosines(images[block], pool_images[pool])
                pictures[~pictured[block]] = 1.0
                product *= pictures
            column = product.argmax(axis=1)
            value = product[np.arange(len(column)), column]
            better = value > best[block]
            best[block] = np.where(better, value, best[block])
            nearest[block] = np.where(better, column + start, nearest[block])
    return Similarity(score=float(best.mean(dtype=np.float64)), best=best, nearest=nearest)
