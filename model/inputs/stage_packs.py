"""The packing step: which samples share a pack, for every epoch of a stage, from exact token counts."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from data.errors import AerieError
from data.ledger import Tally
from data.progress import Progress
from data.schema import Sample, table_to_samples
from data.storage import Manifest, ShardWriter, attach, commit, committed, fingerprint, read_manifest, read_tables
from model.inputs.encode import SampleProblemError
from model.inputs.packing import STRATEGIES, plan_packs
from model.inputs.packing_report import histogram, packing_metrics, per_category
from model.inputs.tokens import ChatTokenizer
from model.inputs.uses import PACK_SCHEMA, SampleUse, pack_table, plan_epoch, uses_of
from model.recipe import STAGES, Recipe, load_recipe

VERSION = 1


def pack_stage(
    recipe_uri: str, recipe_sha256: str, stage: str, formatting_uri: str, tokenizer_uri: str, out_uri: str
) -> Manifest:
    """Plan every pack of a stage, all epochs, from exact token counts; no pixel is decoded.

    Shards: `PACK_SCHEMA`, rows in training order. Attachment `report` (JSON): metrics, the other strategies on the
    first epoch, histograms. The ledger counts samples, not their uses.
    """
    recipe = load_recipe(recipe_uri, recipe_sha256)
    if stage not in STAGES:
        raise AerieError(f"unknown stage {stage!r}; choose from {list(STAGES)}")
    formatting = read_manifest(formatting_uri)
    lineage = {"formatting": formatting.sha256(), "tokenizer": read_manifest(tokenizer_uri).sha256()}
    mark = _packing_fingerprint(recipe, stage, lineage)
    if (done := committed(out_uri, mark)) is not None:
        return done
    tally = Tally(f"packing/{stage}")
    epochs = _epoch_uses(recipe, stage, formatting_uri, formatting, ChatTokenizer.load(tokenizer_uri), tally)
    settings, writer, plans, first = recipe.stages[stage], ShardWriter(out_uri, PACK_SCHEMA), [], 0
    for epoch, uses in enumerate(epochs):
        plan = plan_epoch(uses, settings, seed=recipe.seed, stage=stage, epoch=epoch)
        writer.write_table(pack_table(uses, plan, epoch, first))
        plans.append(plan)
        first += len(plan)
    report = _packing_report(recipe, stage, epochs, plans)
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


def _packing_fingerprint(recipe: Recipe, stage: str, lineage: dict[str, str]) -> str:
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
) -> list[list[SampleUse]]:
    """The stage's sample uses, one list an epoch; every sample is kept or dropped with its reason."""
    progress = Progress(f"packing {stage}", formatting.rows)
    for count in formatting.counts:
        tally.take(count.source, 0)  # a source that lost all its rows earlier keeps its line in the ledger
    kept: list[list[SampleUse]] = []
    for place, sample in _placed_samples(uri, formatting):
        tally.take(sample.source)
        progress.update()
        if stage not in sample.meta.get("stages", ()):
            tally.drop(sample.source, "not_in_stage")
            continue
        try:
            kept.append(
                uses_of(
                    sample,
                    place,
                    tokenizer=tokenizer,
                    model=recipe.model,
                    settings=recipe.stages[stage],
                    stage=stage,
                    seed=recipe.seed,
                )
            )
            tally.keep(sample.source)
        except SampleProblemError as problem:
            tally.drop(sample.source, problem.reason)
    progress.close()
    if not kept:
        raise AerieError(
            f"{stage} has no sample to train on: {[dataclasses.asdict(count) for count in tally.counts()]}"
        )
    return [list(uses) for uses in zip(*kept, strict=True)]


def _placed_samples(uri: str, formatting: Manifest) -> Iterator[tuple[tuple[int, int], Sample]]:
    """((shard, row), sample) of every formatted sample."""
    for shard, table in enumerate(read_tables(uri, formatting)):
        for row, sample in enumerate(table_to_samples(table)):
            yield (shard, row), sample


def _packing_report(
    recipe: Recipe, stage: str, epochs: list[list[SampleUse]], plans: list[list[list[int]]]
) -> dict[str, Any]:
    """Metrics over all epochs, and of every strategy on the first epoch's samples."""
    settings, every, packs = recipe.stages[stage], [use for uses in epochs for use in uses], []
    for number, plan in enumerate(plans):
        packs += [[use + number * len(epochs[0]) for use in pack] for pack in plan]
    lengths, tiles = [use.tokens for use in every], [use.tiles for use in every]
    first, first_tiles = lengths[: len(epochs[0])], tiles[: len(epochs[0])]
    limits = {"tiles": first_tiles, "max_tiles": settings.max_tiles_per_pack}
    others = {name: plan_packs(first, settings.capacity, strategy=name, **limits) for name in STRATEGIES}  # type: ignore[arg-type]
    return {
        "stage": stage,
        "strategy": settings.packing,
        "capacity": settings.capacity,
        "max_tiles_per_pack": settings.max_tiles_per_pack,
        "epochs": settings.epochs,
        "samples": len(epochs[0]),
        "uses": len(every),
        "tokens": sum(lengths),
        "tiles": sum(tiles),
        "metrics": packing_metrics(packs, lengths, tiles, settings.capacity),
        "strategies": {n: packing_metrics(p, first, first_tiles, settings.capacity) for n, p in others.items()},
        "length_histogram": histogram(lengths, 0, max(lengths)),
        "fill_histogram": histogram([sum(lengths[use] for use in pack) / settings.capacity for pack in packs], 0, 1),
        "categories": per_category([use.category for use in every], lengths, tiles),
    }
