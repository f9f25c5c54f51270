"""Every step of a recipe, from sourcing to the report, as plain calls in one process; the stages train in it too."""

import os
from functools import partial

from data_steps import Step, data_steps, visible

import model.steps
from data.files import join
from data.storage import Manifest
from model.evaluation.judging_step import judge_benchmarks
from model.evaluation.promotion.gate import compare_with_accepted
from model.evaluation.run import evaluate_checkpoint
from model.evaluation.summary import write_report
from model.recipe import STAGES, Recipe, load_recipe
from model.training.job import TrainingJob
from model.training.run import train_stage

__all__ = ["Step", "all_steps", "visible"]


def all_steps(recipe_uri: str, run_uri: str) -> dict[str, Step]:
    """The steps in order; each reads its inputs below the run and takes its output folder, RUN/NAME."""
    recipe = load_recipe(recipe_uri)
    given = (recipe_uri, recipe.sha256)

    def at(*names: str) -> list[str]:
        return [join(run_uri, name) for name in names]

    steps = data_steps(recipe_uri, run_uri)
    steps["tokenizer"] = partial(model.steps.train_tokenizer, *given, *at("formatting"))
    words, parent = at("formatting", "tokenizer"), ""
    for stage in STAGES:
        steps[f"packing/{stage}"] = partial(model.steps.pack_stage, *given, stage, *words)
        steps[stage] = partial(_train, *given, stage, *at(f"packing/{stage}"), *words, parent)
        steps[f"evaluation/{stage}"] = partial(evaluate_checkpoint, *given, stage, *at(stage), *words)
        (parent,) = at(stage)
    last, registry = STAGES[-1], join(run_uri.rpartition("/")[0], "registry")
    steps["judging"] = partial(judge_benchmarks, *given, *at(f"evaluation/{last}"))
    steps["promotion"] = partial(compare_with_accepted, *given, *at(last, f"evaluation/{last}", "judging"), registry)
    steps["report"] = partial(write_report, *given, run_uri)
    return steps


def _train(*arguments: str) -> Manifest:
    return train_stage(*arguments, launcher=_train_here)  # type: ignore[misc]


def _train_here(job: TrainingJob, recipe: Recipe) -> None:
    """Train as torchrun's only worker would, in this process."""
    import torch

    from model.training.stage import train
    from model.training.stopping import StopRequest

    if not torch.distributed.is_initialized():
        os.environ.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")
        torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
        torch.use_deterministic_algorithms(True)
    assert train(job, StopRequest())
