"""This rank's packs step by step, read ahead of the step that computes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from model.inputs.batch import PackedBatch
from model.inputs.loader import PackLoader
from model.inputs.quarantine import QuarantineEvent, QuarantineLimit
from model.pack_tensors import PackTensors
from model.recipe import StageSettings
from model.training.feeding.fed_pack import FedPack, PackRequest
from model.training.feeding.feed_sources import PackSource, packs_ahead
from model.training.schedule import rank_packs, step_packs, total_steps


@dataclass(frozen=True, slots=True)
class WeightedPack:
    """A pack with its tokens' weights [T] and its share of the loss denominator; zero when it only keeps step.

    `tensors` are the pack on the CPU, with CUDA in pinned memory; the arrays of `batch` are views of them.
    """

    batch: PackedBatch
    weights: torch.Tensor
    denominator: float
    counts: bool
    tensors: PackTensors


@dataclass(frozen=True, slots=True)
class StepPacks:
    """A rank's packs of one optimizer step, the seconds for which the loop had to wait for them, and their bad samples.

    A sample is told by the one rank whose pack it was in. A pack without a good sample is still here, counts nothing.
    """

    packs: list[WeightedPack]
    wait_seconds: float
    quarantined: tuple[QuarantineEvent, ...] = ()


class StepFeed:
    """The packs of step `start` and those after it, in order whatever their readers' timing; that is all its state.

    `workers` processes read ahead; 0: a thread of this process does, a step at a time. None: as many as this rank's
    share of the cores can spare where a GPU computes, else none, since computing takes the cores.
    """

    def __init__(
        self,
        loader: PackLoader,
        settings: StageSettings,
        *,
        rank: int,
        world: int,
        start: int = 0,
        workers: int | None = None,
    ) -> None:
        self._loader, self._settings, self._rank, self._world = loader, settings, rank, world
        self._next, self._limit = start, QuarantineLimit()
        self._source: PackSource = packs_ahead(
            loader,
            self._requests(start),
            settings.loss_reduction,
            per_step=len(rank_packs(step_packs(0, len(loader), settings), rank, world)),
            workers=workers,
        )

    def next(self) -> StepPacks:
        """The next step's packs.

        `AerieError`: a shard can't be read, too many samples are bad, or a worker process died.
        """
        start, packs = time.monotonic(), []
        for _ in self._share(self._next):
            packs.append(self._source.next())
        self._next += 1
        events = tuple(event for pack in packs for event in pack.quarantined)
        self._limit.take(sum(pack.samples for pack in packs), events)
        return StepPacks([_weighted(pack) for pack in packs], time.monotonic() - start, events)

    def close(self) -> None:
        """End the reading."""
        self._source.close()

    def _share(self, step: int) -> list[tuple[int, bool]]:
        return rank_packs(step_packs(step, len(self._loader), self._settings), self._rank, self._world)

    def _requests(self, start: int) -> Iterator[PackRequest]:
        for step in range(start, total_steps(len(self._loader), self._settings)):
            for number, counts in self._share(step):
                yield PackRequest(self._loader.place(number), counts)


def _weighted(pack: FedPack) -> WeightedPack:
    return WeightedPack(pack.batch(), pack.weights, pack.denominator, pack.counts, pack.tensors)
