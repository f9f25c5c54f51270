"""Some rows of a matrix that may lie on disk: read block by block, never copied whole."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

BLOCK_ROWS = 1 << 15  # 64 MB of 512 float32


@dataclass(frozen=True, slots=True)
class RowView:
    """matrix: float16 or float32 [M, D], in memory or memory-mapped; rows: int64 [N], which of them, in which order.

    Indexing with a slice or with row numbers gives an array float32 [n, D] in memory.
    """

    matrix: np.ndarray
    rows: np.ndarray

    @classmethod
    def whole(cls, matrix: np.ndarray) -> "RowView":
        """All rows of a matrix."""
        return cls(matrix, np.arange(len(matrix)))

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return len(self.rows), self.matrix.shape[1]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        rows = self.rows[which]
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return np.ascontiguousarray(self.matrix[rows[0] : rows[-1] + 1], np.float32)  # a view, when it can be
        return self.matrix[rows].astype(np.float32, copy=False)

    def blocks(self, size: int = BLOCK_ROWS) -> Iterator[tuple[slice, np.ndarray]]:
        """Every stretch of at most `size` rows with its vectors."""
        for start in range(0, len(self), size):
            part = slice(start, min(start + size, len(self)))
            yield part, self[part]
