"""This rank's packs step by step, read ahead of the step that computes."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from model.inputs.batch import PackedBatch
from model.inputs.loader import PackLoader
from model.loss import token_weights
from model.recipe import StageSettings
from model.training.schedule import rank_packs, step_packs, total_steps
from model.vlm import PackTensors


@dataclass(frozen=True, slots=True)
class WeightedPack:
    """A pack with its tokens' weights [T] and its share of the loss denominator; zero when it only keeps step."""

    batch: PackedBatch
    weights: torch.Tensor
    denominator: float
    counts: bool
    tensors: PackTensors


@dataclass(frozen=True, slots=True)
class StepPacks:
    """A rank's packs of one optimizer step, and the seconds for which the loop had to wait for them."""

    packs: list[WeightedPack]
    wait_seconds: float


class StepFeed:
    """The packs of step `start` and those after it, in order. The next step's packs are read while one computes."""

    def __init__(self, loader: PackLoader, settings: StageSettings, *, rank: int, world: int, start: int = 0) -> None:
        self._loader, self._settings, self._rank, self._world = loader, settings, rank, world
        self._steps, self._next = total_steps(len(loader), settings), start
        self._reader = ThreadPoolExecutor(1)
        self._upcoming = self._reader.submit(self._read, start)

    def next(self) -> StepPacks:
        """The next step's packs; `AerieError` when one can't be built."""
        start = time.monotonic()
        packs = self._upcoming.result()
        self._next += 1
        if self._next < self._steps:
            self._upcoming = self._reader.submit(self._read, self._next)
        return StepPacks(packs, time.monotonic() - start)

    def close(self) -> None:
        """End the reading."""
        self._reader.shutdown(cancel_futures=True)

    def _read(self, step: int) -> list[WeightedPack]:
        numbers = step_packs(step, len(self._loader), self._settings)
        return [self._weighted(number, counts) for number, counts in rank_packs(numbers, self._rank, self._world)]

    def _weighted(self, number: int, counts: bool) -> WeightedPack:
        batch = self._loader.pack(number)
        weights, denominator = token_weights(batch.labels, batch.cu_seqlens, self._settings.loss_reduction)
        if not counts:
            weights, denominator = weights * 0, 0.0
        return WeightedPack(batch, torch.from_numpy(weights), denominator, counts, PackTensors.of(batch))
