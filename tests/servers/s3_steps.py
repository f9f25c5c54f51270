"""Every step of a recipe, from sourcing to the report, as plain calls in one process; the stages train in it too."""

import hashlib
import os
from collections.abc import Callable
from functools import partial

import data.steps
import model.steps
from data.files import exists, join, read_bytes
from data.storage import Manifest, manifest_uri, read_attachment, read_manifest
from model.evaluation.run import evaluate_checkpoint
from model.evaluation.summary import write_report
from model.recipe import STAGES, Recipe, load_recipe
from model.training.job import TrainingJob
from model.training.run import train_stage

Step = Callable[[str], Manifest]


def all_steps(recipe_uri: str, run_uri: str) -> dict[str, Step]:
    """The steps in order; each reads its inputs below the run and takes its output folder, RUN/NAME."""
    recipe = load_recipe(recipe_uri)
    given = (recipe_uri, recipe.sha256)

    def at(*names: str) -> list[str]:
        return [join(run_uri, name) for name in names]

    steps: dict[str, Step] = {
        f"sourcing/{use.name}": partial(data.steps.source_samples, *given, use.name) for use in recipe.data.sources
    }
    steps["validation"] = partial(data.steps.validate_samples, *given, at(*steps))
    steps["embedding"] = partial(data.steps.embed_samples, *given, *at("validation"))
    steps["gate"] = partial(data.steps.gate_sources, *given, *at("validation", "embedding"))
    steps["filtering"] = partial(data.steps.filter_samples, *given, *at("gate"))
    steps["selection"] = partial(data.steps.select_samples, *given, *at("filtering", "embedding"))
    steps["augmentation"] = partial(data.steps.augment_samples, *given, *at("selection"))
    steps["formatting"] = partial(data.steps.format_samples, *given, *at("augmentation", "validation"))
    steps["tokenizer"] = partial(model.steps.train_tokenizer, *given, *at("formatting"))
    words, parent = at("formatting", "tokenizer"), ""
    for stage in STAGES:
        steps[f"packing/{stage}"] = partial(model.steps.pack_stage, *given, stage, *words)
        steps[stage] = partial(_train, *given, stage, *at(f"packing/{stage}"), *words, parent)
        steps[f"evaluation/{stage}"] = partial(evaluate_checkpoint, *given, stage, *at(stage), *words)
        (parent,) = at(stage)
    steps["report"] = partial(write_report, *given, run_uri)
    return steps


def visible(folder: str) -> str:
    """What a reader sees: "" or the hash of a manifest, all of whose files are there and right (else it raises)."""
    if not exists(manifest_uri(folder)):
        return ""
    manifest = read_manifest(folder)
    for shard in manifest.shards:
        assert hashlib.sha256(read_bytes(join(folder, shard.path))).hexdigest() == shard.sha256, shard.path
    for name in manifest.attachments:
        read_attachment(folder, manifest, name)
    return manifest.sha256()


def _train(*arguments: str) -> Manifest:
    return train_stage(*arguments, launcher=_train_here)  # type: ignore[misc]


def _train_here(job: TrainingJob, recipe: Recipe) -> None:
    """Train as torchrun's only worker would, in this process."""
    import torch

    from model.training.loop import train
    from model.training.stopping import StopRequest

    if not torch.distributed.is_initialized():
        os.environ.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")
        torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
        torch.use_deterministic_algorithms(True)
    assert train(job, StopRequest())
