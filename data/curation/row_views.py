"""Chosen rows of a large matrix, copied only where they are read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

BLOCK_ROWS = 1 << 15  # 64 MB of 512 float32
Index = slice | np.ndarray


class Vectors(Protocol):
    """What a reader of vectors needs of them: an array, a memory-mapped array, or some of its rows. [N, D]."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """float16 or float32."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Index, /) -> np.ndarray: ...


class RowView:
    """The rows `rows` (int64 [N]) of a matrix [M, D]: reading a part copies that part only."""

    def __init__(self, vectors: Vectors, rows: np.ndarray) -> None:
        self._vectors, self._rows = vectors, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""
        return (len(self._rows), *self._vectors.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """As the matrix has it."""
        return self._vectors.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Index, /) -> np.ndarray:
        return self._vectors[self._rows[rows]]


@dataclass(frozen=True, slots=True)
class Float32Rows:
    """Rows for arithmetic: float32 whatever the matrix holds.

    matrix: float16 or float32 [M, D], in memory or memory-mapped; rows: int64 [N], which of them, in which order.
    Indexing with a slice or with row numbers gives an array float32 [n, D] in memory.
    """

    matrix: np.ndarray
    rows: np.ndarray

    @classmethod
    def whole(cls, matrix: np.ndarray) -> "Float32Rows":
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
