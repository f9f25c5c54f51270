"""A short form of long vectors that tells at once which pairs can't be near each other, and never errs.

Projecting to a subspace only shortens distances: two unit vectors with a cosine above t are at most sqrt(2 - 2t) apart,
and so are their projections. Few dimensions chosen at random keep most of a distance, so that nearly every pair that
isn't near is told apart by a twentieth of the work.
"""

from collections.abc import Sequence

import numpy as np

from data.curation.row_views import Vectors

WIDTH = 32  # dimensions a matrix
READ_ROWS = 8192
ROUNDING = 2e-3  # of a squared distance, a matrix: float16 vectors have lengths of 1 within 5e-4


class Sketch:
    """Sketches of some rows of one or more matrices of unit vectors, which are near where every matrix has them near.

    One product of two short vectors gives the squared distance: [-2p, |p|^2, 1] . [q, 1, |q|^2].
    """

    def __init__(self, parts: Sequence[Vectors], rows: np.ndarray, threshold: float) -> None:
        bases = [_basis(part.shape[1]) for part in parts]
        short = np.empty((len(rows), sum(basis.shape[1] for basis in bases)), np.float32)
        for at in range(0, len(rows), READ_ROWS):
            chosen = rows[at : at + READ_ROWS]
            products = [part[chosen].astype(np.float32) @ basis for part, basis in zip(parts, bases, strict=True)]
            short[at : at + READ_ROWS] = np.hstack(products)
        lengths, ones = np.einsum("nk,nk->n", short, short)[:, None], np.ones((len(rows), 1), np.float32)
        self._left = np.hstack([-2 * short, lengths, ones])
        self._right = np.hstack([short, ones, lengths])
        self._limit = np.float32(len(parts) * (2 - 2 * threshold + ROUNDING))

    def candidates(self, block: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of either side that may be near a row of the other; a row's own self doesn't count."""
        near = self._left[block] @ self._right[others].T <= self._limit
        near &= block[:, None] != others[None]
        return block[near.any(axis=1)], others[near.any(axis=0)]


def _basis(width: int) -> np.ndarray:
    """float32 [D, K] with orthonormal columns: the same one every time."""
    random = np.random.default_rng(width).standard_normal((width, min(WIDTH, width)))
    return np.linalg.qr(random)[0].astype(np.float32)
