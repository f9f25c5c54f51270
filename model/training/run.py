"""A training stage as a step: packs and a parent in, a checkpoint folder with its manifest out."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from data.errors import AerieError
from data.files import exists, join, read_bytes
from data.ledger import StepCount, Tally
from data.storage import Manifest, commit, committed, fingerprint, read_manifest, read_tables
from model.inputs.quarantine import QuarantineEvent
from model.recipe import STAGES, Recipe, load_recipe
from model.training.job import FINISHED_NAME, TrainingJob
from model.training.launch import launch
from model.training.quarantine_log import parse_events

Launcher = Callable[[TrainingJob, Recipe], None]
VERSION = 2
# Settings that change how a stage is run, not what comes out.
WITHOUT_EFFECT = {"checkpoint_every", "keep_checkpoints", "max_skipped_steps", "nodes"}
# The packs carry these already.
IN_THE_PACKS = {"capacity", "max_tiles_per_pack", "too_long", "packing", "epochs", "turns_per_sample"}


def train_stage(
    recipe_uri: str,
    recipe_sha256: str,
    stage: str,
    packing_uri: str,
    formatting_uri: str,
    tokenizer_uri: str,
    parent_uri: str,
    out_uri: str,
    launcher: Launcher | None = None,
) -> Manifest:
    """Train a stage under torchrun, or go on with it where a killed run stopped; `parent_uri` "" starts afresh.

    `launcher` gets the job to the machines that train it; without one it trains in processes of this machine.

    The folder is a checkpoint (`model.checkpoint.load_checkpoint`). Attachments: `weights` (safetensors; above 5 GB the
    shards and their index by file name), `config` (what rebuilds the network), `tokenizer`, `recipe`, `metrics` (JSON
    lines, one a step).
    `quarantine` (JSON lines of `QuarantineEvent`) when samples turned out bad while training.
    They hold no times, so that equal runs commit equal manifests; times stand in metrics.jsonl, which is not committed.
    The manifest's rows are sample uses over all epochs that were trained on; the ledger counts samples.
    """
    recipe = load_recipe(recipe_uri, recipe_sha256)
    if stage not in STAGES:
        raise AerieError(f"unknown stage {stage!r}; choose from {list(STAGES)}")
    job, lineage = training_job(
        recipe,
        stage=stage,
        recipe_uri=recipe_uri,
        recipe_sha256=recipe.sha256,
        packing_uri=packing_uri,
        formatting_uri=formatting_uri,
        tokenizer_uri=tokenizer_uri,
        parent_uri=parent_uri,
        out_uri=out_uri,
    )
    if (done := committed(out_uri, job.fingerprint)) is not None:
        return done
    if _finished(job) is None:
        (launcher or launch_here)(job, recipe)
    if (finished := _finished(job)) is None:
        raise AerieError(f"{stage}: the training processes ended without a result in {out_uri}; run it again")
    packing, attachments = read_manifest(packing_uri), finished["attachments"]
    entry = attachments.get("quarantine")
    events = parse_events(read_bytes(join(out_uri, entry["path"]))) if entry else []
    return commit(
        out_uri,
        Manifest(
            step=stage,
            fingerprint=job.fingerprint,
            recipe_sha256=recipe.sha256,
            rows=packing.rows - len(events),
            shards=(),
            counts=_counts(stage, packing_uri, packing, events),
            lineage=lineage,
            attachments=attachments,
        ),
    )


def training_job(recipe: Recipe, **places: str) -> tuple[TrainingJob, dict[str, str]]:
    """A stage's job with the fingerprint that its committed inputs give it, and the inputs' hashes by name.

    `places` are the other fields of `TrainingJob`. `AerieError`: an input isn't committed, or the parent doesn't fit.
    """
    job = TrainingJob(**places, fingerprint="")
    inputs = {"packing": job.packing_uri, "formatting": job.formatting_uri}
    inputs |= {"tokenizer": job.tokenizer_uri, "parent": job.parent_uri}
    lineage = {name: read_manifest(uri).sha256() for name, uri in inputs.items() if uri}
    _check_parent(job.parent_uri, lineage)
    return dataclasses.replace(job, fingerprint=_training_fingerprint(recipe, job.stage, lineage)), lineage


def launch_here(job: TrainingJob, recipe: Recipe) -> None:
    """Train in processes of this machine."""
    launch(job, recipe.processes)


def _training_fingerprint(recipe: Recipe, stage: str, lineage: dict[str, str]) -> str:
    """All that the weights depend on. Not the number of processes: the loss doesn't, but for rounding."""
    return fingerprint(
        step=stage,
        version=VERSION,
        settings=recipe.stages[stage].model_dump(mode="json", exclude=WITHOUT_EFFECT | IN_THE_PACKS),
        model=recipe.model.model_dump(mode="json"),
        seed=recipe.seed,
        inputs=lineage,
    )


def _check_parent(parent_uri: str, lineage: dict[str, str]) -> None:
    """A parent must speak the same tokens: equal shapes would hide another vocabulary."""
    if parent_uri and read_manifest(parent_uri).lineage.get("tokenizer") != lineage["tokenizer"]:
        raise AerieError(f"{parent_uri} was trained with another tokenizer; train it again with this run's")


def _finished(job: TrainingJob) -> dict[str, Any] | None:
    """What the workers wrote last, when it belongs to this job."""
    uri = join(job.out_uri, FINISHED_NAME)
    document: dict[str, Any] = json.loads(read_bytes(uri)) if exists(uri) else {}
    return document if document.get("fingerprint") == job.fingerprint else None


def _counts(
    stage: str, packing_uri: str, packing: Manifest, events: Sequence[QuarantineEvent]
) -> tuple[StepCount, ...]:
    """Samples trained on at least once, and those that were bad whenever their turn came, by reason.

    A source without a sample in the packs keeps its line.
    """
    tally = Tally(stage)
    for count in packing.counts:
        tally.take(count.source, 0)
    bad: dict[tuple[str, str], list[QuarantineEvent]] = {}
    for event in events:
        bad.setdefault((event.source, event.sample_id), []).append(event)
    uses = Counter(
        (row["source"], row["sample_id"])
        for table in read_tables(packing_uri, packing, ["source", "sample_id"])
        for row in table.to_pylist()
    )
    for sample, times in uses.items():
        source, _ = sample
        tally.take(source)
        if len(bad.get(sample, ())) < times:
            tally.keep(source)
        else:
            tally.drop(source, bad[sample][0].reason)
    return tally.counts()
