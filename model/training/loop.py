"""The training loop: packs in, optimizer steps, checkpoints, and a record of each step out."""

import math
import time

from model.inputs.loader import PackLoader
from model.recipe import Recipe, StageSettings
from model.training.checkpoints.checkpointing import Checkpoints
from model.training.collectives import sum_of_ranks
from model.training.engine import TrainingEngine
from model.training.feeding.feed import StepFeed, StepPacks
from model.training.job import TrainingJob
from model.training.metrics import MetricsLog, SkippedStep, StepMetrics, read_steps
from model.training.quarantine_log import QuarantineLog
from model.training.schedule import learning_rate, rank_packs, step_packs, total_steps
from model.training.skipping import SkipLimit, find_culprits
from model.training.step_numbers import StepCounter, StepNumbers, merge
from model.training.stopping import StopRequest
from model.training.telemetry import Telemetry, device_peak, flops_of
from model.training.watchdog import Watchdog


class Trainer:
    """One stage on this rank: feed, engine and checkpoints, step after step."""

    def __init__(self, job: TrainingJob, recipe: Recipe, loader: PackLoader, engine: TrainingEngine) -> None:
        self.job, self.recipe, self.loader, self.engine = job, recipe, loader, engine
        self.settings: StageSettings = recipe.stages[job.stage]
        self.steps = total_steps(len(loader), self.settings)
        self.checkpoints = Checkpoints(
            job.checkpoints_uri, job.fingerprint, keep=self.settings.keep_checkpoints, label=job.stage
        )
        self.done, self.log = 0, MetricsLog(job.out_uri) if engine.rank == 0 else None
        self._skips = SkipLimit(self.settings.max_skipped_steps, job.checkpoints_uri)
        self._flops, self._peak = flops_of(recipe, job.stage, loader.tokenizer.vocab_size), device_peak(engine.device)
        self._blocked_seconds = 0.0  # by the checkpoint after the latest step

    def resume(self) -> None:
        """Go on from the newest complete checkpoint, if there is one."""
        self.checkpoints.prepare(self.engine)
        marker = self.checkpoints.latest(quiet=self.engine.rank > 0)
        if marker is None:
            return
        self.checkpoints.load(self.engine, marker)
        self.done = marker.step
        if self.log is not None:
            self.log = MetricsLog(self.job.out_uri, read_steps(self.checkpoints.metrics(marker)))
            print(f"{self.job.stage}  resumed after step {marker.step}/{self.steps}", flush=True)

    def run(self, stop: StopRequest) -> bool:
        """Train to the end; False when a signal asked to stop and the state was saved.

        AerieError: a pack can't be built, or too many steps in a row were skipped.
        """
        rank, world, finished, telemetry = self.engine.rank, self.engine.world, False, None
        if self.log is not None:
            telemetry = Telemetry(self.job, self.recipe, self.log, steps=self.steps, done=self.done)
        place, first = self.job.out_uri, self._packs().start
        self._quarantine = QuarantineLog(place, self.job.fingerprint, rank=rank, world=world, next_pack=first)
        watchdog = Watchdog(self.job.stage, self.job.out_uri, rank)
        feed = StepFeed(self.loader, self.settings, rank=rank, world=world, start=self.done)
        try:
            finished = self._train(feed, telemetry, watchdog, stop)
        finally:
            self.checkpoints.close()
            feed.close()
            watchdog.close()
            if telemetry is not None:
                telemetry.close(finished=finished)
        return finished

    def _train(self, feed: StepFeed, telemetry: Telemetry | None, watchdog: Watchdog, stop: StopRequest) -> bool:
        while self.done < self.steps:
            numbers = self._packs()
            with watchdog.step(f"step {self.done + 1} (packs {numbers[0]} to {numbers[-1]})"):
                metrics, stopping = self._step(feed, stop)
            self.done += 1
            if telemetry is not None:
                telemetry.take(metrics)
            said = self._skips.take(self.done, metrics.skipped)
            if said and self.engine.rank == 0:
                print(f"{self.job.stage}  {said}", flush=True)
            if self.done < self.steps and (stopping or self.done % self.settings.checkpoint_every == 0):
                self._save()
            self.checkpoints.poll()
            if self.done < self.steps and stopping:
                break
        self.checkpoints.wait(self.engine)
        return self.done == self.steps

    def _step(self, feed: StepFeed, stop: StopRequest) -> tuple[StepMetrics, bool]:
        """One optimizer step; also whether any rank was asked to stop, so that all stop together.

        The host waits for the device once, for the gradient's norm: all else is on its way by then.
        """
        start = time.monotonic()
        fed = feed.next()
        self._quarantine.append(fed.quarantined)
        counter = self._gradients(fed)
        gathered = counter.gather(
            wait_seconds=fed.wait_seconds, quarantined=len(fed.quarantined), stopping=stop.requested
        )
        rate = learning_rate(self.done, self.steps, self.settings)
        norm = self.engine.step(rate)
        skipped = None if math.isfinite(norm) else self._culprits(fed, counter, norm)
        numbers = merge(gathered.read())
        return self._record(numbers, rate, norm, skipped, time.monotonic() - start), numbers.stopping

    def _gradients(self, fed: StepPacks) -> StepCounter:
        """The gradients of the global batch: this rank's packs, one after the other, over all ranks' denominator."""
        device, counter = self.engine.device, StepCounter(self.engine.device, self._flops)
        denominator = sum_of_ranks(sum(pack.denominator for pack in fed.packs), device)
        denominator = denominator.where(denominator > 0, 1.0)  # packs without an answer have gradient zero, not 0 / 0
        for number, pack in enumerate(fed.packs):
            tensors, weights = pack.tensors.to(device, non_blocking=True), pack.weights.to(device, non_blocking=True)
            loss = self.engine.gradients(tensors, weights, denominator, last=number == len(fed.packs) - 1)
            counter.add(pack, loss, self.engine.sample_losses)
        return counter

    def _culprits(self, fed: StepPacks, counter: StepCounter, norm: float) -> SkippedStep:
        share = rank_packs(self._packs(), self.engine.rank, self.engine.world)
        packs = {number: p.batch.sample_ids for (number, _), p in zip(share, fed.packs, strict=True) if p.counts}
        return find_culprits(norm, packs, counter.losses)

    def _record(
        self, numbers: StepNumbers, rate: float, norm: float, skipped: SkippedStep | None, seconds: float
    ) -> StepMetrics:
        packs, before = self._packs(), self.log.steps[-1].skipped_steps if self.log and self.log.steps else 0
        blocked, self._blocked_seconds = self._blocked_seconds, 0.0
        capacity = max(numbers.packs, 1) * self.settings.capacity
        return StepMetrics(
            step=self.done + 1,
            loss=numbers.loss if math.isfinite(numbers.loss) else None,
            category_losses={name: loss for name, loss in numbers.category_losses.items() if math.isfinite(loss)},
            learning_rate=rate,
            tokens=numbers.tokens,
            samples=numbers.samples,
            tiles=numbers.tiles,
            quarantined=numbers.quarantined,
            padding_share=1 - numbers.tokens / capacity,
            flops=numbers.flops,
            grad_norm=norm if skipped is None else None,
            packs=(packs[0], packs[-1]),
            skipped=skipped,
            skipped_steps=before + (skipped is not None),
            seconds=seconds,
            wait_share=min(numbers.wait_seconds / seconds, 1.0),
            mfu=numbers.flops / (seconds * self.engine.world * self._peak) if self._peak else None,
            memory_bytes=numbers.memory_bytes,
            checkpoint_seconds=blocked,
        )

    def _packs(self) -> range:
        """The numbers of the coming step's packs."""
        return step_packs(self.done, len(self.loader), self.settings)

    def _save(self) -> None:
        start, metrics = time.monotonic(), self.log.payload() if self.log is not None else b""
        self.checkpoints.save(self.engine, step=self.done, next_pack=self._packs().start, metrics=metrics)
        self._blocked_seconds = time.monotonic() - start
