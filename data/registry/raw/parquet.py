"""Parquet files of strangers: the footer is weighed before it is parsed, a row group before it is read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.registry.raw.limits import (
    INFLATION,
    INFLATION_FREE_BYTES,
    PARQUET_FOOTER_BYTES,
    PARQUET_VALUES_PER_BYTE,
)
from data.registry.raw.problems import BadRowError

BATCH_ROWS = 16  # with images of a few MiB a batch stays in the tens
FAILURES = (pa.ArrowException, OSError, ValueError, KeyError, MemoryError)


def open_parquet(path: Path) -> pq.ParquetFile:
    """The opened file; `BadRowError` with reason `corrupt_parquet` when there is no sound footer."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 8))
        tail = stream.read(8)
    footer = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or footer > min(size, PARQUET_FOOTER_BYTES):
        raise BadRowError("corrupt_parquet", f"{path.name}: no footer, or one of {footer} bytes in a file of {size}")
    try:
        return pq.ParquetFile(path, thrift_string_size_limit=PARQUET_FOOTER_BYTES, pre_buffer=False)
    except FAILURES as error:
        raise BadRowError("corrupt_parquet", f"{path.name}: {error}") from None


def weigh(file: pq.ParquetFile, group: int) -> int:
    """The number of rows of a row group that may be read; `BadRowError` for a bomb."""
    meta = file.metadata.row_group(group)
    columns = [meta.column(index) for index in range(meta.num_columns)]
    packed = sum(max(0, column.total_compressed_size) for column in columns)
    unpacked = sum(max(0, column.total_uncompressed_size) for column in columns)
    if unpacked > max(INFLATION_FREE_BYTES, INFLATION * packed):
        detail = f"row group {group} of {meta.num_rows} rows unpacks {packed} bytes to {unpacked}"
        raise BadRowError("decompression_bomb", detail)
    most = max([meta.num_rows, *(column.num_values for column in columns)])
    if most > max(1 << 20, PARQUET_VALUES_PER_BYTE * packed) or meta.num_rows < 0:
        raise BadRowError("decompression_bomb", f"row group {group} claims {most} values in {packed} bytes")
    return int(meta.num_rows)


def cells(file: pq.ParquetFile, group: int, columns: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of a row group, narrowed to columns that are cheap to read."""
    for batch in _batches(file, group, columns, 4096):
        for index in range(batch.num_rows):
            yield row_of(batch, index)


def row_of(batch: pa.RecordBatch, index: int) -> dict[str, Any]:
    """One row as Python values; `BadRowError` when a text is not UTF-8."""
    try:
        return dict(batch.slice(index, 1).to_pylist()[0])
    except UnicodeDecodeError as error:
        raise BadRowError("invalid_utf8", f"a text column is not UTF-8: {error.reason}") from None
    except (ArithmeticError, *FAILURES) as error:  # a date beyond Python's years, for one
        raise BadRowError("invalid_row", f"a value can't be read: {error}") from None


class GroupRows:
    """Rows of one row group by rising index; nothing is read before the first is asked for."""

    def __init__(self, file: pq.ParquetFile, group: int, columns: list[str]) -> None:
        self._batches = _batches(file, group, columns, BATCH_ROWS)
        self._first, self._batch = 0, None

    def row(self, index: int) -> dict[str, Any]:
        """The row at an index of the group, which is no lower than the one before."""
        while self._batch is None or index >= self._first + self._batch.num_rows:
            self._first += self._batch.num_rows if self._batch is not None else 0
            self._batch = next(self._batches, None)
            if self._batch is None:
                raise BadRowError("corrupt_parquet", "the row group ends before its row count")
        return row_of(self._batch, index - self._first)


def _batches(file: pq.ParquetFile, group: int, columns: list[str], size: int) -> Iterator[pa.RecordBatch]:
    """Batches of a row group; after a failure every further call raises the same `BadRowError`."""
    problem: BadRowError | None = None
    try:
        # In the calling thread; see data.storage.parquet_table.
        yield from file.iter_batches(size, row_groups=[group], columns=columns, use_threads=False)
    except FAILURES as error:
        problem = BadRowError("corrupt_parquet", f"row group {group}: {error}")
    if problem is not None:
        raise problem
