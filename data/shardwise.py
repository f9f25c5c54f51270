"""A pure function over the shards of a manifest, in several processes, with the results in shard order."""

import hashlib
import io
import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import AerieError
from data.files import join, write_bytes
from data.storage import ROW_GROUP_ROWS, Manifest, Shard

T = TypeVar("T")
WORKERS = 2
AHEAD = 2  # shards in flight for each worker: enough to keep it busy, few enough to bound the memory
FEW_VALUES = ["source", "category", "reason", "conversations.list.element.role"]  # columns worth a dictionary
ROW_GROUP_BYTES = 1 << 19  # four photos of 130 kB
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
    pool = worker_pool(workers)
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


def worker_pool(workers: int, begin: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    """Processes that start in milliseconds, see today's environment and end with this one; each calls `begin` first.

    That may be a `partial` with what only a starting process can take over, such as a file's descriptor.
    """
    first = (dict(os.environ), begin)
    return ProcessPoolExecutor(workers, mp_context=_context(), initializer=begin_worker, initargs=first)


def _context() -> BaseContext:
    """Workers are forked from a server without threads: those of libraries (Arrow, BLAS) would not survive a fork here.

    The server loads what this process has loaded of this package, once; then a worker starts in milliseconds.
    """
    package = __name__.split(".")[0]
    multiprocessing.set_forkserver_preload(sorted(name for name in sys.modules if name.split(".")[0] == package))
    return multiprocessing.get_context("forkserver")


def begin_worker(environment: dict[str, str], then: Callable[[], None] | None = None) -> None:
    """Take over the parent's environment as it is now, not as it was when the server started; and end with the parent.

    A worker whose parent was killed would otherwise wait for work for ever.
    """
    os.environ.clear()
    os.environ.update(environment)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if then is not None:
        then()


def shard_table(payload: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """A shard as a table; columns may be leaves such as `images.list.element.width`, which leaves the bytes unread."""
    return pq.ParquetFile(pa.BufferReader(payload)).read(columns=columns, use_threads=False)


def shard_bytes(table: pa.Table, row_group_rows: int = ROW_GROUP_ROWS) -> bytes:
    """A table as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=row_group_rows, use_dictionary=FEW_VALUES)
    return sink.getvalue()


def readable_by_row(table: pa.Table, row_group_bytes: int = ROW_GROUP_BYTES) -> bytes:
    """A table as a Parquet file of which single rows are read later (`data.row_groups`).

    Row groups take about `row_group_bytes` (at least a row, at most `ROW_GROUP_ROWS`): whoever wants one row reads so
    many. Pages carry checksums, since nobody hashes the file for a row. No statistics: nobody searches by them, and
    with few rows a group they would be most of the footer, which takes some 0.9 kB a group as it is.
    """
    rows = min(max(row_group_bytes * table.num_rows // max(table.nbytes, 1), 1), ROW_GROUP_ROWS)
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        row_group_size=rows,
        use_dictionary=FEW_VALUES,
        write_statistics=False,
        write_page_checksum=True,
    )
    return sink.getvalue()


def write_shard(folder: str, path: str, payload: bytes, rows: int) -> Shard:
    """Write one shard's file and return its manifest entry."""
    write_bytes(join(folder, path), payload)
    return Shard(path=path, rows=rows, bytes=len(payload), sha256=hashlib.sha256(payload).hexdigest())
