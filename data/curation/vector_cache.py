"""Vectors of a committed embedding step as .npy files on the local disk, mapped into memory.

Parquet shards stay the one form that is committed, moved and checked. Their vectors are unpacked once, shard by shard,
into a cache folder that bears the manifest's hash; the shards' hashes are checked on the way. So it doesn't matter
whether the run lies on this disk or in object storage, and memory never holds more than a shard.
"""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.curation.local_cache import cache_folder, keep_newest, new_entry
from data.errors import AerieError
from data.storage import Manifest, read_tables

ENTRIES = 4  # embeddings kept on the disk at once
VECTORS = {"images": "image_vector", "texts": "text_vector"}
NAMES = ["sample_id", "source", "category", "pictures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedVectors:
    """rows: the columns beside the vectors; images [N, D_i] and texts [N, D_t] are read-only `np.memmap`."""

    rows: pa.Table
    images: np.ndarray
    texts: np.ndarray


def cached_vectors(folder: str, manifest: Manifest) -> CachedVectors:
    """The table of `folder`; `AerieError` when it holds no row, or a shard is missing or changed."""
    if not manifest.rows:
        raise AerieError(f"the embedding step in {folder} holds no rows: no sample passed validation; see its report")
    home, name = cache_folder("vectors"), manifest.sha256()
    if (found := _opened(home / name, manifest.rows)) is not None:
        return found
    shutil.rmtree(home / name, ignore_errors=True)  # what isn't whole would stand in the way
    with new_entry(home, name) as filling:
        _unpack(folder, manifest, filling)
        found = _opened(filling, manifest.rows)
    if found is None:
        raise AerieError(f"the vectors of {folder} could not be unpacked into {home}; is its disk full?")
    keep_newest(home, ENTRIES)
    return found


def _opened(entry: Path, rows: int) -> CachedVectors | None:
    """What an entry holds, or None when it isn't there, isn't whole, or another process is removing it."""
    try:
        mapped = {name: np.load(entry / f"{name}.npy", mmap_mode="r") for name in VECTORS}
        table = pq.read_table(entry / "rows.parquet", use_threads=False, pre_buffer=False)
    except (OSError, EOFError, ValueError, pa.ArrowInvalid):
        return None
    whole = all(len(vectors) == rows for vectors in mapped.values()) and table.num_rows == rows
    return CachedVectors(rows=table, **mapped) if whole else None


def _unpack(folder: str, manifest: Manifest, entry: Path) -> None:
    """Write images.npy, texts.npy and rows.parquet, a shard at a time.

    Written as streams, not through a map: a full disk is then an error, and no signal that ends the process.
    """
    names = []
    with ExitStack() as stack:
        streams = {name: stack.enter_context((entry / f"{name}.npy").open("wb")) for name in VECTORS}
        for table in read_tables(folder, manifest):
            for name, column in VECTORS.items():
                block = _matrix(table[column])
                if not streams[name].tell():
                    _header(streams[name], block.dtype, (manifest.rows, block.shape[1]))
                streams[name].write(block.data)
            names.append(table.select(NAMES))
    pq.write_table(pa.concat_tables(names), entry / "rows.parquet")


def _header(stream: BinaryIO, dtype: np.dtype, shape: tuple[int, int]) -> None:
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, described)


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    chunks = [chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), -1) for chunk in column.chunks]
    return np.ascontiguousarray(np.concatenate([chunk for chunk in chunks if len(chunk)]))
