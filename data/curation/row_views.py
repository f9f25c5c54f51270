"""Chosen rows of a large matrix, copied only where they are read."""

from typing import Protocol

import numpy as np

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
