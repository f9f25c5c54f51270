"""Single rows of a step's Parquet shards, from a local disk or a bucket, without reading the shards whole.

A row costs its row group: one read of that many bytes, and once the shard's footer, which says where the groups lie.
What `data.storage.read_tables` proves by a shard's hash is proved here by its length, its footer, and the checksums of
its pages where the writer put them in (`data.shardwise.readable_by_row`).
"""

import io
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from data.bounded_cache import BoundedCache
from data.errors import AerieError
from data.files import join, read_range
from data.storage import Manifest, Shard

MAGIC = b"PAR1"
FIRST_TAIL = 1 << 16  # bytes of a shard's end that are read at first; most footers are smaller
PARSED = 4  # memory of a parsed footer for each of its bytes, roughly
ROW_CACHE_BYTES, FOOTER_CACHE_BYTES = 1 << 28, 1 << 26
UNREADABLE = (pa.ArrowException, OSError, ValueError, MemoryError)  # what pyarrow raises on damaged pages


class DamagedRowsError(AerieError):
    """A row group that no longer decodes or differs from its checksums; the rest of its shard may be sound."""


@dataclass(frozen=True, slots=True)
class _Footer:
    """A shard's metadata and the first row of each of its row groups, with the number of rows at the end."""

    metadata: pq.FileMetaData
    starts: list[int]


class RowGroups:
    """Rows of the shards of a manifest. Not for several threads at once. `bytes_read` counts what was fetched."""

    def __init__(
        self,
        folder: str,
        manifest: Manifest,
        *,
        cache_bytes: int = ROW_CACHE_BYTES,
        footer_cache_bytes: int = FOOTER_CACHE_BYTES,
    ) -> None:
        self.folder, self.manifest, self.bytes_read = folder, manifest, 0
        self._tail = FIRST_TAIL
        self._groups: BoundedCache[pa.Table] = BoundedCache(cache_bytes)
        self._footers: BoundedCache[_Footer] = BoundedCache(footer_cache_bytes)
        self._firsts = [0]
        for shard in manifest.shards:
            self._firsts.append(self._firsts[-1] + shard.rows)

    def span(self, first: int, last: int) -> pa.Table:
        """Rows first:last, numbered over all shards; errors as in `rows`."""
        parts = []
        while first < last:
            shard = bisect_right(self._firsts, first) - 1
            end = min(last, self._firsts[shard + 1])
            parts.append(self.rows(shard, first - self._firsts[shard], end - self._firsts[shard]))
            first = end
        return pa.concat_tables(parts)

    def rows(self, shard: int, first: int, last: int) -> pa.Table:
        """Rows first:last of a shard.

        `AerieError`: the shard is missing or isn't the one of the manifest. `DamagedRowsError`: just these rows are
        damaged.
        """
        footer = self._footers.get(shard, lambda: self._footer(self.manifest.shards[shard]))
        groups = range(bisect_right(footer.starts, first) - 1, bisect_left(footer.starts, last))
        tables = [self._groups.get((shard, group), lambda g=group: self._group(shard, footer, g)) for group in groups]
        return pa.concat_tables(tables).slice(first - footer.starts[groups.start], last - first)

    def _footer(self, shard: Shard) -> tuple[_Footer, int]:
        """Read with the largest size seen so far, and again when this one is larger."""
        tail = self._read(shard, max(shard.bytes - self._tail, 0), self._tail)
        size = int.from_bytes(tail[-8:-4], "little") + 8
        if tail[-4:] == MAGIC and len(tail) < size <= shard.bytes:
            self._tail = size
            tail = self._read(shard, shard.bytes - size, size)
        try:
            if tail[-4:] != MAGIC or len(tail) < size:
                raise pa.ArrowInvalid("no footer where it should be")
            metadata = pq.read_metadata(pa.BufferReader(tail[-size:]))
        except UNREADABLE as error:
            raise self._changed(shard, error) from None
        starts = [0]
        for group in range(metadata.num_row_groups):
            starts.append(starts[-1] + metadata.row_group(group).num_rows)
        if starts[-1] != shard.rows:
            raise self._changed(shard, f"{starts[-1]} rows, the manifest says {shard.rows}")
        return _Footer(metadata, starts), PARSED * size

    def _group(self, shard: int, footer: _Footer, group: int) -> tuple[pa.Table, int]:
        """One row group by one read."""
        begin, end = _extent(footer.metadata.row_group(group))
        place = self.manifest.shards[shard]
        part = _Part(self._read(place, begin, end - begin), begin, place.bytes)
        try:
            # In the calling thread; see data.storage.parquet_table.
            file = pq.ParquetFile(part, metadata=footer.metadata, pre_buffer=False, page_checksum_verification=True)
            table = file.read_row_group(group, use_threads=False)
        except UNREADABLE as error:
            where = f"rows {footer.starts[group]} to {footer.starts[group + 1] - 1} of {join(self.folder, place.path)}"
            raise DamagedRowsError(f"{where} are damaged ({error}); run step {self.manifest.step!r} again") from None
        return table, table.nbytes

    def _read(self, shard: Shard, offset: int, length: int) -> bytes:
        payload = read_range(join(self.folder, shard.path), offset, length)
        self.bytes_read += len(payload)
        if len(payload) < min(length, shard.bytes - offset):
            raise self._changed(shard, f"it ends before byte {offset + length}")
        return payload

    def _changed(self, shard: Shard, why: object) -> AerieError:
        uri = join(self.folder, shard.path)
        return AerieError(f"shard {uri} is truncated or changed ({why}); run step {self.manifest.step!r} again")


def _extent(group: pq.RowGroupMetaData) -> tuple[int, int]:
    """The first byte of a row group and the one after its last."""
    columns = [group.column(number) for number in range(group.num_columns)]
    begins = [min(filter(None, (column.dictionary_page_offset, column.data_page_offset))) for column in columns]
    ends = [begin + column.total_compressed_size for begin, column in zip(begins, columns, strict=True)]
    return min(begins), max(ends)


class _Part(io.RawIOBase):
    """A file of which only `payload`, from `offset` on, is here; the rest reads as its end."""

    def __init__(self, payload: bytes, offset: int, size: int) -> None:
        self._payload, self._offset, self._size, self._place = memoryview(payload), offset, size, 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte of the whole file."""
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        """The byte of the whole file that is read next."""
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        """Bytes of the part."""
        first = self._place - self._offset
        if first < 0:
            return b""
        found = bytes(self._payload[first : len(self._payload) if size is None or size < 0 else first + size])
        self._place += len(found)
        return found
