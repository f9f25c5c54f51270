"""Who reads packs ahead, and how many: a thread of this process, or worker processes."""

import os
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch

from data.cores import given_cores
from model.inputs.loader import PackLoader
from model.loss import Reduction
from model.training.feeding.fed_pack import FedPack, PackBuilder, PackRequest, built
from model.training.feeding.feed_workers import WorkerPacks, this_gpu, use_gpu

AHEAD_BYTES = 1 << 30  # pixels of the packs that lie ready or are being made, for each rank
MOST_AHEAD = 4  # packs for each worker
MOST_WORKERS = 8  # one makes two or three packs of 48 tiles a second; an H100 with 1B parameters takes 2.5
SHARED_MEMORY = "/dev/shm"


class PackSource(Protocol):
    """Packs in the order of their requests."""

    def next(self) -> FedPack:
        """The next pack; `AerieError` when it can't be built."""
        ...

    def close(self) -> None:
        """End the reading."""
        ...


def packs_ahead(
    loader: PackLoader, requests: Iterator[PackRequest], reduction: Reduction, *, per_step: int, workers: int | None
) -> PackSource:
    """A source whose packs ahead hold at most `AHEAD_BYTES` of pixels (but at least a pack).

    Packs of workers also fit into this rank's share of the shared memory; where not one does, a thread reads them.
    """
    one = max(loader.largest_bytes, 1)
    most = max(AHEAD_BYTES // one, 1)
    workers = spare_cores() if workers is None else workers
    if workers and (shared := min(most, shared_memory() // one)) < most:
        print(f"{SHARED_MEMORY} has room for {shared} packs of {one >> 20} MiB; {most} would lie ready", flush=True)
        workers, most = min(workers, shared), max(shared, 1)
    if not workers:
        return ThreadPacks(PackBuilder(loader.sources, reduction), requests, ahead=min(per_step, most))
    workers = min(workers, most)
    builder = PackBuilder(loader.sources.shared_by(workers), reduction)
    return WorkerPacks(builder, requests, workers=workers, ahead=min(most // workers, MOST_AHEAD))


def spare_cores() -> int:
    """Workers that this rank may have: its share of the cores but one where a GPU computes, else none."""
    if not torch.cuda.is_available():
        return 0
    return min(max(given_cores() // _local_ranks() - 1, 1), MOST_WORKERS)


def shared_memory() -> int:
    """Bytes of /dev/shm that this rank may fill with packs: its share of half of what is free; NCCL takes some too."""
    if not os.path.isdir(SHARED_MEMORY):  # macOS keeps it elsewhere and has no such limit
        return AHEAD_BYTES
    return shutil.disk_usage(SHARED_MEMORY).free // 2 // _local_ranks()


def _local_ranks() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class ThreadPacks:
    """`ahead` packs are read by a thread while this one computes."""

    def __init__(self, builder: PackBuilder, requests: Iterator[PackRequest], *, ahead: int) -> None:
        self._builder, self._requests = builder, requests
        self._reader = ThreadPoolExecutor(1, initializer=use_gpu, initargs=(this_gpu(),))
        self._upcoming: deque[Future[FedPack]] = deque()
        for _ in range(ahead):
            self._submit()

    def next(self) -> FedPack:
        """See `PackSource`."""
        pack = self._upcoming.popleft().result()
        self._submit()
        return pack

    def close(self) -> None:
        """See `PackSource`."""
        self._reader.shutdown(cancel_futures=True)

    def _submit(self) -> None:
        if (request := next(self._requests, None)) is not None:
            self._upcoming.append(self._reader.submit(self._read, request))

    def _read(self, request: PackRequest) -> FedPack:
        pack = built(self._builder[request])
        return pack.pin_memory() if torch.cuda.is_available() else pack
