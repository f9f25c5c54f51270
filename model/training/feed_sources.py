"""Who reads packs ahead: a thread of this process, or worker processes under PyTorch's DataLoader."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader

from data.errors import AerieError
from data.shardwise import begin_worker
from model.inputs.loader import PackLoader
from model.loss import Reduction
from model.training.fed_pack import FedPack, PackBuilder, PackRequest

AHEAD_BYTES = 1 << 30  # pixels of the packs that lie ready or are being made, for each rank
MOST_AHEAD = 4  # packs for each worker
MOST_WORKERS = 8  # one makes two or three packs of 48 tiles a second; an H100 with 1B parameters takes 2.5
PRELOADED = ("model.training.feed_sources", "model.inputs.tiling")


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
    """A source whose packs ahead hold at most `AHEAD_BYTES` of pixels (but at least a pack)."""
    most = max(AHEAD_BYTES // max(loader.largest_bytes, 1), 1)
    workers = min(spare_cores() if workers is None else workers, most)
    if not workers:
        return ThreadPacks(PackBuilder(loader.sources, reduction), requests, ahead=min(per_step, most))
    builder = PackBuilder(loader.sources.shared_by(workers), reduction)
    return WorkerPacks(builder, requests, workers=workers, ahead=min(most // workers, MOST_AHEAD))


def spare_cores() -> int:
    """Workers that this rank may have: its share of the cores but one where a GPU computes, else none."""
    if not torch.cuda.is_available():
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")) - 1, 1), MOST_WORKERS)


def _built(pack: FedPack | str) -> FedPack:
    if isinstance(pack, str):
        raise AerieError(pack)
    return pack


class ThreadPacks:
    """`ahead` packs are read by a thread while this one computes."""

    def __init__(self, builder: PackBuilder, requests: Iterator[PackRequest], *, ahead: int) -> None:
        self._builder, self._requests = builder, requests
        self._reader = ThreadPoolExecutor(1)
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
        pack = _built(self._builder[request])
        return pack.pin_memory() if torch.cuda.is_available() else pack


class WorkerPacks:
    """`ahead` packs for each of some worker processes; tensors come through shared memory."""

    def __init__(self, builder: PackBuilder, requests: Iterable[PackRequest], *, workers: int, ahead: int) -> None:
        loader: DataLoader[Any] = DataLoader(
            builder,  # type: ignore[arg-type]
            batch_size=None,
            sampler=requests,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=ahead,
            worker_init_fn=partial(_begin, dict(os.environ)),
            multiprocessing_context=_context(),
            generator=torch.Generator(),  # else it would draw the workers' seeds from the network's
        )
        # In a thread: in the main one PyTorch takes over SIGCHLD, to raise wherever this process happens to be when a
        # worker dies. Here the death is found when a pack is waited for. It also hides the seconds of the start.
        starter = ThreadPoolExecutor(1)
        self._starting: Future[Iterator[FedPack | str]] | None = starter.submit(_started, loader)
        starter.shutdown(wait=False)

    def next(self) -> FedPack:
        """See `PackSource`."""
        assert self._starting is not None
        try:
            return _built(next(self._starting.result()))
        except RuntimeError as error:
            if "exited unexpectedly" not in str(error):
                raise
            raise AerieError(
                f"a process that reads packs died ({error}); often it was killed for lack of memory, or /dev/shm is "
                "full. Give the pod more of either, then run the stage again to go on from its last checkpoint"
            ) from error

    def close(self) -> None:
        """See `PackSource`. The workers end after the pack that they are at: PyTorch ends them with their iterator."""
        if self._starting is not None:
            self._starting.exception()  # only waits: what went wrong was told to whoever asked for a pack
        self._starting = None


def _as_it_is(pack: FedPack | str) -> FedPack | str:
    return pack


def _context() -> multiprocessing.context.BaseContext:
    """Workers are forked from a server that never saw CUDA or a thread and has loaded the libraries once for all."""
    multiprocessing.set_forkserver_preload(list(PRELOADED))
    return multiprocessing.get_context("forkserver")


def _started(loader: "DataLoader[Any]") -> Iterator[FedPack | str]:
    """Start server and workers with SIGTERM blocked, which they inherit.

    torchrun sends it to all processes of a rank; the workers must live until the step that hears it is saved.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(environment: dict[str, str], worker: int) -> None:
    """In a worker: end with the trainer, however that ends, and not by signals that are meant for it."""
    begin_worker(environment)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
