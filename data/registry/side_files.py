"""Side files of a step that may be larger than memory: rows are spooled to a temporary Parquet file, then attached."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from data.files import is_s3, join, whole_file
from data.object_store import upload_file
from data.registry.raw.places import file_hash

GROUP_ROWS = 256
Row = TypeVar("Row")


class SideFile(Generic[Row]):
    """Rows of one side file, in order; at most one row group is in memory. The same rows give the same bytes."""

    def __init__(self, schema: pa.Schema, table: Callable[[list[Row]], pa.Table]) -> None:
        """`table` makes a table of `schema` out of rows."""
        self._folder = tempfile.TemporaryDirectory(prefix="aerie-side-")
        self._path = Path(self._folder.name) / "rows.parquet"
        self._writer = pq.ParquetWriter(self._path, schema, compression="zstd")
        self._table, self._rows, self._written = table, list[Row](), False

    def add(self, row: Row) -> None:
        """Append a row."""
        self._rows.append(row)
        if len(self._rows) == GROUP_ROWS:
            self._flush()

    def attach(self, folder: str, path: str) -> dict[str, str]:
        """Finish the file, put it below a step's folder and return its attachment entry; readers see it whole."""
        if self._rows or not self._written:  # a file of no rows still has its columns
            self._flush()
        self._writer.close()
        _put(self._path, join(folder, path))
        return {"path": path, "sha256": file_hash(self._path)}

    def __enter__(self) -> "SideFile[Row]":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._folder.cleanup()

    def _flush(self) -> None:
        self._writer.write_table(self._table(self._rows), row_group_size=GROUP_ROWS)
        self._rows, self._written = [], True


def _put(source: Path, uri: str) -> None:
    if is_s3(uri):
        upload_file(str(source), uri)
        return
    with source.open("rb") as content, whole_file(Path(uri), content) as whole:
        os.replace(whole, uri)
