"""Worker processes that read packs, under PyTorch's DataLoader; and what goes wrong with processes."""

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch.utils.data import DataLoader

from data.errors import AerieError
from data.shardwise import begin_worker
from model.training.feeding.fed_pack import FedPack, PackBuilder, PackRequest, built

SECONDS_TO_DIE = 2.0  # until the end of a process is known everywhere
PRELOADED = ("model.training.feeding.feed_workers", "model.inputs.tiling")

Workers = list[BaseProcess]


def this_gpu() -> int | None:
    """This rank's GPU. A new thread begins at the first one, where pinning would open a context of its own."""
    return torch.cuda.current_device() if torch.cuda.is_available() else None


def use_gpu(device: int | None) -> None:
    """Make a thread work with a GPU."""
    if device is not None:
        torch.cuda.set_device(device)


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
        starter = ThreadPoolExecutor(1, initializer=use_gpu, initargs=(this_gpu(),))
        self._starting: Future[tuple[Iterator[FedPack | str], Workers]] | None = starter.submit(_started, loader)
        starter.shutdown(wait=False)

    def next(self) -> FedPack:
        """See `PackSource`."""
        assert self._starting is not None
        packs, workers = self._starting.result()
        try:
            return built(next(packs))
        except (RuntimeError, OSError, EOFError) as error:  # the loader noticed, or a pack's memory went with its maker
            dead = connection.wait([worker.sentinel for worker in workers], timeout=SECONDS_TO_DIE)
            ends = [_end(worker) for worker in workers if worker.sentinel in dead]
            if not ends:
                raise
            raise AerieError(
                f"{'; '.join(ends)}: often for lack of memory, or because /dev/shm is full. Give the pod more of "
                "either, then run the stage again to go on from its last checkpoint"
            ) from error

    def close(self) -> None:
        """See `PackSource`. The workers end after the pack that they are at: PyTorch ends them with their iterator."""
        if self._starting is not None:
            self._starting.exception()  # only waits: what went wrong was told to whoever asked for a pack
        self._starting = None


def _as_it_is(pack: Any) -> Any:
    return pack


def _context() -> multiprocessing.context.BaseContext:
    """Workers are forked from a server that never saw CUDA or a thread and has loaded the libraries once for all."""
    multiprocessing.set_forkserver_preload(list(PRELOADED))
    return multiprocessing.get_context("forkserver")


def _started(loader: "DataLoader[Any]") -> tuple[Iterator[FedPack | str], Workers]:
    """Start server and workers, with SIGTERM blocked, which they inherit.

    torchrun sends it to all processes of a rank; the workers must live until the step that hears it is saved.
    """
    resource_tracker.ensure_running()  # it would unblock the signal when it starts
    others = multiprocessing.active_children()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        packs = iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return packs, [child for child in multiprocessing.active_children() if child not in others]


def _end(worker: BaseProcess) -> str:
    worker.join(SECONDS_TO_DIE)
    code = worker.exitcode
    how = f"was killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended with exit code {code}"
    return f"process {worker.pid}, which reads packs, {how}"


def _begin(environment: dict[str, str], worker: int) -> None:
    """In a worker: end with the trainer, however that ends, and not by signals that are meant for it."""
    begin_worker(environment)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
