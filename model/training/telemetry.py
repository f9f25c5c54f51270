"""A step's record, and where it goes: the file, the terminal, W&B and the TrainJob's status. Rank 0 alone tells."""

import os

import numpy as np
import torch

from model.costs.flops import pack_flops, peak_flops
from model.recipe import Recipe
from model.training.feeding.feed import WeightedPack
from model.training.job import TrainingJob
from model.training.metrics import MetricsLog, StepMetrics
from model.training.progress import TrainingProgress
from model.training.step_numbers import PackFlops
from model.training.trainer_status import TrainerStatus
from model.training.wandb_run import WandbRun

REPORTED = ("loss", "learning_rate", "grad_norm", "mfu")  # of a step, to the TrainJob


class Telemetry:
    """What rank 0 does with each step of a stage that goes on after step `done`."""

    def __init__(self, job: TrainingJob, recipe: Recipe, log: MetricsLog, *, steps: int, done: int) -> None:
        settings = recipe.stages[job.stage].model_dump(mode="json")
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        self.log, self._steps = log, steps
        self._progress = TrainingProgress(job.stage, steps, done)
        self._wandb = WandbRun(job.stage, recipe.name, job.out_uri, settings | {"processes": processes})
        self._status = TrainerStatus(job.stage)

    def take(self, step: StepMetrics) -> None:
        """Record and show a step."""
        self.log.append(step)
        self._progress.update(step)
        self._wandb.log(step)
        remaining = self._progress.remaining(step.step)
        self._status.report(share=step.step / self._steps, remaining_seconds=remaining, metrics=_reported(step))

    def close(self, *, finished: bool) -> None:
        """Say the last words; `finished`: the stage is trained to its end."""
        if finished and self.log.steps:
            self._progress.close(self.log.steps[-1])
            self._status.close(_reported(self.log.steps[-1]))
        self._wandb.close()


def _reported(step: StepMetrics) -> dict[str, float]:
    values = {name: getattr(step, name) for name in REPORTED} | step.rates()
    return {name: value for name, value in values.items() if value is not None}


def flops_of(recipe: Recipe, stage: str, vocabulary: int) -> PackFlops:
    """The model FLOPs of a pack in a stage, forward and backward; `vocabulary` is the tokenizer's size."""
    settings, rows = recipe.stages[stage], recipe.model.language.rows(vocabulary)

    def flops(pack: WeightedPack) -> float:
        return pack_flops(
            recipe.model,
            rows,
            lengths=np.diff(pack.batch.cu_seqlens).tolist(),
            tiles=len(pack.batch.tiles),
            label_tokens=len(pack.tensors.answers),
            trainable=settings.trainable,
            train_new_tokens=settings.train_new_tokens,
        ).total

    return flops


def device_peak(device: torch.device) -> float | None:
    """Dense bf16 FLOPs a second of a GPU by its datasheet; None for a CPU or a GPU that isn't in the table."""
    return peak_flops(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
