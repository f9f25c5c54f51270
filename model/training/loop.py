"""The training loop: packs in, optimizer steps, checkpoints, and the finished stage's files out."""

import math
import time

from torch import distributed

from data.errors import AerieError
from model.checkpoint import load_weights
from model.inputs.loader import PackLoader
from model.pretrained import load_pretrained
from model.recipe import Recipe, StageSettings, load_recipe
from model.training.checkpointing import Checkpoints
from model.training.engine import TrainingEngine, join_processes
from model.training.feed import StepFeed, WeightedPack
from model.training.freezing import freeze
from model.training.job import TrainingJob
from model.training.metrics import MetricsLog, StepMetrics, TrainingProgress, WandbRun, read_steps
from model.training.quarantine_log import QuarantineLog
from model.training.result import write_result
from model.training.schedule import learning_rate, step_packs, total_steps
from model.training.stopping import StopRequest
from model.vlm import VisionLanguageModel, build_model


class Trainer:
    """One stage on this rank."""

    def __init__(self, job: TrainingJob, recipe: Recipe, loader: PackLoader, engine: TrainingEngine) -> None:
        self.job, self.loader, self.engine = job, loader, engine
        self.settings: StageSettings = recipe.stages[job.stage]
        self.steps = total_steps(len(loader), self.settings)
        self.checkpoints = Checkpoints(
            job.checkpoints_uri, job.fingerprint, keep=self.settings.keep_checkpoints, label=job.stage
        )
        self.done = 0
        self.log = MetricsLog(job.out_uri) if engine.rank == 0 else None

    def resume(self) -> None:
        """Go on from the newest complete checkpoint, if there is one."""
        marker = self.checkpoints.latest(quiet=self.engine.rank > 0)
        if marker is None:
            return
        self.checkpoints.load(self.engine, marker)
        self.done = marker.step
        if self.log is not None:
            self.log = MetricsLog(self.job.out_uri, read_steps(self.checkpoints.metrics(marker)))
            print(f"{self.job.stage}  resumed after step {marker.step}/{self.steps}", flush=True)

    def run(self, wandb: WandbRun | None, stop: StopRequest) -> bool:
        """Train to the end; False when a signal asked to stop and the state was saved."""
        progress = TrainingProgress(self.job.stage, self.steps, self.done)
        rank, world = self.engine.rank, self.engine.world
        feed = StepFeed(self.loader, self.settings, rank=rank, world=world, start=self.done)
        first = step_packs(self.done, len(self.loader), self.settings).start
        quarantine = QuarantineLog(self.job.out_uri, self.job.fingerprint, rank=rank, world=world, next_pack=first)
        try:
            while self.done < self.steps:
                step = feed.next()
                quarantine.append(step.quarantined)
                metrics, stopping = self._step(step.packs, stop.requested)
                self.done += 1
                if self.log is not None:
                    self.log.append(metrics)
                    progress.update(metrics)
                if wandb is not None:
                    wandb.log(metrics)
                if self.done < self.steps and (stopping or self.done % self.settings.checkpoint_every == 0):
                    self._save()
                if self.done < self.steps and stopping:
                    return False
        finally:
            feed.close()
        if self.log is not None and self.log.steps:
            progress.close(self.log.steps[-1])
        return True

    def _step(self, packs: list[WeightedPack], stop_here: bool) -> tuple[StepMetrics, bool]:
        """One optimizer step; also whether any rank was asked to stop, so that all stop together."""
        start, engine = time.monotonic(), self.engine
        counted = [pack for pack in packs if pack.counts]
        denominator, tokens, samples, stopping = engine.sum(
            [
                sum(pack.denominator for pack in packs),
                sum(len(pack.batch.input_ids) for pack in counted),
                sum(len(pack.batch.sample_ids) for pack in counted),
                float(stop_here),
            ]
        )
        # A step whose packs hold no answer at all has gradient zero, not 0 / 0.
        scale, loss = denominator or 1.0, 0.0
        for number, pack in enumerate(packs):
            tensors = pack.tensors.to(engine.device, non_blocking=True)
            weights = pack.weights.to(engine.device, non_blocking=True)
            last = number == len(packs) - 1
            loss += float(engine.gradients(tensors, weights, scale, last=last))
        loss = engine.sum([loss])[0] / scale
        numbers = step_packs(self.done, len(self.loader), self.settings)
        rate = learning_rate(self.done, self.steps, self.settings)
        self._check_finite("loss", loss, numbers)
        norm = engine.step(rate)
        self._check_finite("gradient's norm", norm, numbers)
        return StepMetrics(
            step=self.done + 1,
            loss=loss,
            learning_rate=rate,
            tokens=int(tokens),
            samples=int(samples),
            grad_norm=norm,
            seconds=time.monotonic() - start,
            packs=(numbers[0], numbers[-1]),
        ), stopping > 0

    def _check_finite(self, what: str, value: float, numbers: range) -> None:
        """Stop before a broken number reaches a checkpoint."""
        if not math.isfinite(value):
            raise AerieError(
                f"step {self.done + 1} (packs {numbers[0]} to {numbers[-1]}): the {what} is {value}. Lower the stage's "
                f"learning_rate or grad_clip; checkpoints in {self.job.checkpoints_uri} are untouched"
            )

    def _save(self) -> None:
        numbers = step_packs(self.done, len(self.loader), self.settings)
        metrics = self.log.payload() if self.log is not None else b""
        self.checkpoints.save(self.engine, step=self.done, next_pack=numbers.start, metrics=metrics)


def initial_network(job: TrainingJob, recipe: Recipe, loader: PackLoader) -> VisionLanguageModel:
    """The parent stage's network, or a fresh one with the published parts that the recipe names."""
    tokenizer = loader.tokenizer
    rows = recipe.model.language.rows(tokenizer.vocab_size)
    model = build_model(recipe.model, rows, tokenizer.image_context_id, recipe.seed)
    if job.parent_uri:
        load_weights(model, job.parent_uri)
        return model
    for line in load_pretrained(model, recipe.model.pretrained, tokenizer, job.recipe_uri):
        if distributed.get_rank() == 0:
            print(f"{job.stage}  {line}", flush=True)
    return model


def train(job: TrainingJob, stop: StopRequest) -> bool:
    """Train a stage in the processes that torchrun started and write its files; False when asked to stop midway."""
    recipe = load_recipe(job.recipe_uri, job.recipe_sha256)
    settings = recipe.stages[job.stage]
    loader = PackLoader.open(recipe, job.stage, job.packing_uri, job.formatting_uri, job.tokenizer_uri)
    device = join_processes()
    model = initial_network(job, recipe, loader)
    freeze(model, settings.trainable, loader.tokenizer.new_token_ids if settings.only_new_tokens else ())
    engine = TrainingEngine(model, settings, device)
    trainer = Trainer(job, recipe, loader, engine)
    trainer.resume()
    wandb = None
    if engine.rank == 0:
        wandb = WandbRun(job.stage, recipe.name, job.out_uri, settings.model_dump(mode="json"))
    finished = trainer.run(wandb, stop)
    if wandb is not None:
        wandb.close()
    if finished:
        engine.barrier()  # every rank's quarantine is written
        write_result(job, model, engine, trainer.log)
    return finished
