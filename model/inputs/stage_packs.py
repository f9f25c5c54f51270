"""The packing step: which samples share a pack, for every epoch of a stage, from exact token counts."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from data.errors import AerieError
from data.ledger import Tally
from data.progress import Progress
from data.schema import Sample, table_to_samples
from data.storage import Manifest, ShardWriter, attach, commit, committed, fingerprint, read_manifest, read_tables
from model.inputs.encode import SampleProblemError
from model.inputs.epoch_packs import PlanHash, pack_tables, plan_epoch
from model.inputs.packing import STRATEGIES
from model.inputs.packing_plan import PackPlan
from model.inputs.packing_report import histogram, packing_metrics, per_category
from model.inputs.tokens import ChatTokenizer
from model.inputs.uses import PACK_SCHEMA, SampleUse, use_table, uses_of
from model.recipe import STAGES, Recipe, load_recipe

VERSION = 2
ROWS_PER_SHARD = 1 << 16  # narrow rows: 21.6 million samples are some 330 shards
COMPARED = 200_000  # uses on which the report compares the strategies


def pack_stage(
    recipe_uri: str, recipe_sha256: str, stage: str, formatting_uri: str, tokenizer_uri: str, out_uri: str
) -> Manifest:
    """Plan every pack of a stage, all epochs, from exact token counts; no pixel is decoded.

    Shards: `PACK_SCHEMA`, rows in training order. Attachment `report` (JSON): metrics, the other strategies on the
    first epoch, histograms, and `plan_sha256` (`PlanHash`). The plan knows no ranks: any number of them trains on the
    same packs in the same order. The ledger counts samples, not their uses.
    """
    recipe = load_recipe(recipe_uri, recipe_sha256)
    if stage not in STAGES:
        raise AerieError(f"unknown stage {stage!r}; choose from {list(STAGES)}")
    formatting = read_manifest(formatting_uri)
    lineage = {"formatting": formatting.sha256(), "tokenizer": read_manifest(tokenizer_uri).sha256()}
    mark = packing_fingerprint(recipe, stage, lineage)
    if (done := committed(out_uri, mark)) is not None:
        return done
    tally = Tally(f"packing/{stage}")
    epochs = _epoch_uses(recipe, stage, formatting_uri, formatting, ChatTokenizer.load(tokenizer_uri), tally)
    plans = [
        plan_epoch(uses, recipe.stages[stage], seed=recipe.seed, stage=stage, epoch=epoch)
        for epoch, uses in enumerate(epochs)
    ]
    writer, digest = ShardWriter(out_uri, PACK_SCHEMA, ROWS_PER_SHARD), PlanHash()
    for table in _rows(epochs, plans):
        writer.write_table(table)
        digest.update(table)
    report = {"plan_sha256": digest.hexdigest(), **_packing_report(recipe, stage, epochs, plans)}
    metrics = report["metrics"]
    print(
        f"packing {stage}  {metrics['packs']} packs  {report['tokens']} tokens  fill {metrics['fill']:.1%}", flush=True
    )
    shards = writer.close()
    return commit(
        out_uri,
        Manifest(
            step=f"packing/{stage}",
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=sum(shard.rows for shard in shards),
            shards=shards,
            counts=tally.counts(),
            lineage=lineage,
            attachments={"report": attach(out_uri, "report.json", json.dumps(report, indent=1).encode())},
        ),
    )


def packing_fingerprint(recipe: Recipe, stage: str, lineage: dict[str, str]) -> str:
    """Only what changes the packs: a new learning rate keeps them."""
    names = {"capacity", "max_tiles_per_pack", "too_long", "packing", "epochs", "turns_per_sample"}
    return fingerprint(
        step=f"packing/{stage}",
        version=VERSION,
        settings=recipe.stages[stage].model_dump(include=names),
        tiling=recipe.model.tiling.model_dump(),
        tokens_per_tile=recipe.model.tokens_per_tile,
        system_prompt=recipe.model.system_prompt,
        number_images=recipe.model.number_images,
        seed=recipe.seed,
        inputs=lineage,
    )


def _epoch_uses(
    recipe: Recipe, stage: str, uri: str, formatting: Manifest, tokenizer: ChatTokenizer, tally: Tally
) -> list[pa.Table]:
    """The stage's sample uses, a table of `USE_SCHEMA` an epoch; every sample is kept or dropped with its reason.

    A table takes some 170 bytes a use; epochs that show the same turns share one.
    """
    progress = Progress(f"packing {stage}", formatting.rows)
    for count in formatting.counts:
        tally.take(count.source, 0)  # a source that lost all its rows earlier keeps its line in the ledger
    epochs: list[list[pa.Table]] = [[] for _ in range(recipe.stages[stage].epochs)]
    for shard, table in enumerate(read_tables(uri, formatting)):
        kept: list[list[SampleUse]] = []
        for row, sample in enumerate(table_to_samples(table)):
            progress.update()
            uses = _kept_uses(sample, (shard, row), recipe, stage, tokenizer, tally)
            kept += [uses] if uses else []
        for parts, shown in zip(epochs, _shared_tables(list(zip(*kept, strict=True))), strict=False):
            parts.append(shown)
    progress.close()
    if not epochs[0]:
        raise AerieError(
            f"{stage} has no sample to train on: {[dataclasses.asdict(count) for count in tally.counts()]}"
        )
    return [pa.concat_tables(parts) for parts in epochs]


def _kept_uses(
    sample: Sample, place: tuple[int, int], recipe: Recipe, stage: str, tokenizer: ChatTokenizer, tally: Tally
) -> list[SampleUse]:
    """The sample's use in each epoch; none when it is dropped, which the ledger then says."""
    tally.take(sample.source)
    if stage not in sample.meta.get("stages", ()):
        tally.drop(sample.source, "not_in_stage")
        return []
    settings, seed = recipe.stages[stage], recipe.seed
    try:
        uses = uses_of(
            sample, place, tokenizer=tokenizer, model=recipe.model, settings=settings, stage=stage, seed=seed
        )
    except SampleProblemError as problem:
        tally.drop(sample.source, problem.reason)
        return []
    tally.keep(sample.source)
    return uses


def _shared_tables(epochs: list[tuple[SampleUse, ...]]) -> Iterator[pa.Table]:
    """The table of each epoch's uses; the first epoch's own when all turns are the same."""
    first = use_table(epochs[0]) if epochs else None
    for uses in epochs:
        same = all(use is other for use, other in zip(uses, epochs[0], strict=True))
        yield first if same else use_table(uses)


def _rows(epochs: list[pa.Table], plans: list[PackPlan]) -> Iterator[pa.Table]:
    """Rows of `PACK_SCHEMA` over all epochs, in training order."""
    first = 0
    for epoch, (uses, plan) in enumerate(zip(epochs, plans, strict=True)):
        yield from pack_tables(uses, plan, epoch, first)
        first += len(plan)


def _packing_report(recipe: Recipe, stage: str, epochs: list[pa.Table], plans: list[PackPlan]) -> dict[str, Any]:
    """Metrics over all epochs, and of every strategy on the first epoch's samples, or some of them."""
    settings, every, plan = recipe.stages[stage], pa.concat_tables(epochs), PackPlan.joined(plans)
    lengths, tiles, capacity = every["tokens"].to_numpy(), every["tiles"].to_numpy(), settings.capacity
    some = epochs[0].take(np.arange(0, epochs[0].num_rows, -(-epochs[0].num_rows // COMPARED)))
    return {
        "stage": stage,
        "strategy": settings.packing,
        "capacity": capacity,
        "max_tiles_per_pack": settings.max_tiles_per_pack,
        "epochs": settings.epochs,
        "samples": epochs[0].num_rows,
        "uses": every.num_rows,
        "tokens": int(lengths.sum()),
        "tiles": int(tiles.sum()),
        "metrics": packing_metrics(plan, lengths, tiles, capacity),
        "compared": some.num_rows,
        "strategies": _compared(recipe, stage, some),
        "length_histogram": histogram(lengths, 0, int(lengths.max())),
        "fill_histogram": histogram(plan.sums(lengths) / capacity, 0, 1),
        "categories": per_category(every),
    }


def _compared(recipe: Recipe, stage: str, uses: pa.Table) -> dict[str, dict[str, float]]:
    """The metrics of each strategy's plan for the same uses."""
    settings = recipe.stages[stage]
    found: dict[str, dict[str, float]] = {}
    for strategy in STRATEGIES:
        plan = plan_epoch(uses, settings, seed=recipe.seed, stage=stage, epoch=0, strategy=strategy)
        lengths, tiles = uses["tokens"].to_numpy(), uses["tiles"].to_numpy()
        found[strategy] = packing_metrics(plan, lengths, tiles, settings.capacity)
    return found
