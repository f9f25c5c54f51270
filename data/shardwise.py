"""A pure function over the shards of a manifest, in several processes, with the results in shard order."""

import hashlib
import io
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import AerieError
from data.files import exists, join, read_bytes, write_bytes
from data.storage import ROW_GROUP_ROWS, Manifest, Shard

T = TypeVar("T")
WORKERS = 2
AHEAD = 2  # shards in flight for each worker: enough to keep it busy, few enough to bound the memory
IN_PROCESS_SHARDS = 2  # so few shards are done before a worker has started


def map_shards(
    function: Callable[[str, Shard], T], folder: str, manifest: Manifest, workers: int = WORKERS
) -> Iterator[T]:
    """`function(folder, shard)` of every shard, results in the manifest's order.

    The function and its results must pickle (a module's function, or a `partial` of one), and it must depend on its
    arguments alone: then the outcome doesn't depend on the number of workers. An error of a worker is raised here as
    it is; a worker that dies without one gives an `AerieError` that names the shards in flight.
    """
    if workers <= 1 or len(manifest.shards) <= IN_PROCESS_SHARDS:
        for shard in manifest.shards:
            yield function(folder, shard)
        return
    # Not fork: threads of libraries (Arrow, BLAS) don't survive it.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    waiting = deque(manifest.shards)
    flying: deque[tuple[Shard, Future[T]]] = deque()
    try:
        while waiting or flying:
            while waiting and len(flying) < workers * AHEAD:
                shard = waiting.popleft()
                flying.append((shard, pool.submit(function, folder, shard)))
            yield flying[0][1].result()
            flying.popleft()
    except BrokenProcessPool as error:
        paths = ", ".join(shard.path for shard, _ in flying) or "the last shard"
        raise AerieError(
            f"a worker process died while it worked on {folder} (in flight: {paths}); it was probably killed for "
            "lack of memory: use smaller shards (data.rows_per_shard) or fewer workers, then run the step again"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def shard_payload(folder: str, shard: Shard, step: str) -> bytes:
    """A shard's bytes, checked; `AerieError` names a shard that is missing or changed."""
    uri = join(folder, shard.path)
    if not exists(uri):
        raise AerieError(f"shard {uri} is missing; run step {step!r} again")
    payload = read_bytes(uri)
    if hashlib.sha256(payload).hexdigest() != shard.sha256:
        raise AerieError(
            f"shard {uri} is truncated or changed ({len(payload)} bytes, manifest says {shard.bytes}); "
            f"run step {step!r} again"
        )
    return payload


def shard_table(payload: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """A shard as a table; columns may be leaves such as `images.list.element.width`, which leaves the bytes unread."""
    return pq.ParquetFile(pa.BufferReader(payload)).read(columns=columns, use_threads=False)


def shard_bytes(table: pa.Table, row_group_rows: int = ROW_GROUP_ROWS) -> bytes:
    """A table as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=row_group_rows)
    return sink.getvalue()


def write_shard(folder: str, path: str, payload: bytes, rows: int) -> Shard:
    """Write one shard's file and return its manifest entry."""
    write_bytes(join(folder, path), payload)
    return Shard(path=path, rows=rows, bytes=len(payload), sha256=hashlib.sha256(payload).hexdigest())
