"""The training loop: packs in, optimizer steps, checkpoints, and the finished stage's files out."""

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import distributed

from data.errors import AerieError
from data.files import join, read_bytes, write_bytes
from data.storage import attach, read_attachment, read_manifest
from model.checkpoint import RECIPE_FILE, TOKENIZER_FILE, load_weights, save_checkpoint
from model.checkpoint_files import CONFIG_FILE
from model.inputs.batch import PackedBatch
from model.inputs.loader import PackLoader
from model.loss import token_weights
from model.pretrained import load_pretrained
from model.recipe import Recipe, StageSettings, load_recipe
from model.tensor_files import WEIGHTS_FILE
from model.training.checkpointing import Checkpoints
from model.training.engine import TrainingEngine, join_processes
from model.training.freezing import freeze
from model.training.job import FINISHED_NAME, TrainingJob
from model.training.metrics import (
    METRICS_NAME,
    STEPS_NAME,
    MetricsLog,
    StepMetrics,
    TrainingProgress,
    WandbRun,
    read_steps,
)
from model.training.schedule import learning_rate, rank_packs, step_packs, total_steps
from model.training.stopping import StopRequest
from model.vlm import PackTensors, VisionLanguageModel, build_model

# Names of a checkpoint's files in the manifest; shards keep theirs.
ATTACHMENTS = {
    WEIGHTS_FILE: "weights",
    CONFIG_FILE: "config",
    TOKENIZER_FILE: "tokenizer",
    RECIPE_FILE: "recipe",
}


@dataclass(frozen=True, slots=True)
class WeightedPack:
    """A pack with its tokens' weights [T] and its share of the loss denominator; zero when it only keeps step."""

    batch: PackedBatch
    weights: torch.Tensor
    denominator: float
    counts: bool


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
        with ThreadPoolExecutor(1) as reader:  # the next step's packs are read while this one computes
            upcoming = reader.submit(self._read, self.done)
            while self.done < self.steps:
                packs = upcoming.result()
                if self.done + 1 < self.steps:
                    upcoming = reader.submit(self._read, self.done + 1)
                metrics, stopping = self._step(packs, stop.requested)
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
        if self.log is not None and self.log.steps:
            progress.close(self.log.steps[-1])
        return True

    def _read(self, step: int) -> list[WeightedPack]:
        """This rank's packs of a step."""
        numbers = step_packs(step, len(self.loader), self.settings)
        packs = []
        for number, counts in rank_packs(numbers, self.engine.rank, self.engine.world):
            batch = self.loader.pack(number)
            weights, denominator = token_weights(batch.labels, batch.cu_seqlens, self.settings.loss_reduction)
            if not counts:
                weights, denominator = weights * 0, 0.0
            packs.append(WeightedPack(batch, torch.from_numpy(weights), denominator, counts))
        return packs

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
            tensors = PackTensors.of(pack.batch, engine.device)
            last = number == len(packs) - 1
            loss += float(engine.gradients(tensors, pack.weights.to(engine.device), scale, last=last))
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
        _write_result(job, model, trainer)
    return finished


def _write_result(job: TrainingJob, model: VisionLanguageModel, trainer: Trainer) -> None:
    """The checkpoint and the metrics, and last the file that tells `train_stage` their hashes."""
    state = trainer.engine.weights()
    if trainer.log is None:
        return
    write_bytes(join(job.out_uri, METRICS_NAME), trainer.log.payload())
    files = {
        TOKENIZER_FILE: read_attachment(job.tokenizer_uri, read_manifest(job.tokenizer_uri), "tokenizer"),
        RECIPE_FILE: read_bytes(job.recipe_uri),
    }
    hashes = save_checkpoint(job.out_uri, model, state=state, files=files)
    attachments = {
        ATTACHMENTS.get(name, name): {"path": name, "sha256": sha256} for name, sha256 in sorted(hashes.items())
    }
    attachments["metrics"] = attach(job.out_uri, STEPS_NAME, trainer.log.payload(times=False))
    document = {"fingerprint": job.fingerprint, "attachments": attachments}
    write_bytes(join(job.out_uri, FINISHED_NAME), json.dumps(document, indent=1).encode())
