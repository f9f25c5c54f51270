"""The formatting step: bare canonical answers, and one explicit answer format per family of tasks."""

import json
from collections.abc import Iterator
from functools import partial

from data.curation.format_clusters import format_report
from data.curation.formatting_tables import Formatted, format_shard, format_table, merged, report_of
from data.curation.instructions import INSTRUCTIONS
from data.curation.instructions import VERSION as INSTRUCTIONS_VERSION
from data.ledger import Tally
from data.progress import Progress
from data.recipe import load_data_recipe
from data.registry.sourcing import parquet_bytes
from data.settings.formatting import FormattingSettings
from data.shardwise import WORKERS, map_shards
from data.storage import (
    Manifest,
    Shard,
    attach,
    commit,
    committed,
    fingerprint,
    parquet_table,
    read_attachment,
    read_manifest,
)

VERSION = 3
FEW_ROWS = 20_000  # formatted before worker processes have started


def format_samples(
    recipe_uri: str,
    recipe_sha256: str,
    augmentation_uri: str,
    validation_uri: str,
    out_uri: str,
    workers: int | None = None,
) -> Manifest:
    """Format the training samples and, by the same rules, the held-out samples of the validation step.

    Each shard becomes one of the same name and rows, so that the result is the same for any number of `workers`
    (None: as many as are worth starting).
    Attachments: `heldout` (Parquet of `SAMPLE_SCHEMA`) and `report` (JSON: changes, examples and the clusters of
    formats; the held-out set apart under `heldout`).
    """
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    augmentation, validation = read_manifest(augmentation_uri), read_manifest(validation_uri)
    settings = recipe.data.formatting
    lineage = {"augmentation": augmentation.sha256(), "validation": validation.sha256()}
    mark = fingerprint(
        step="formatting",
        version=[VERSION, INSTRUCTIONS_VERSION],
        settings=settings.model_dump(),
        inputs=lineage,
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    workers = workers or (WORKERS if augmentation.rows > FEW_ROWS else 1)
    shards, train = _training(augmentation_uri, augmentation, out_uri, settings, workers)
    table, held = format_table(parquet_table(read_attachment(validation_uri, validation, "heldout")), settings)
    report = {
        **report_of(train),
        "clusters": format_report(train.clusters).document(),
        "instructions": INSTRUCTIONS[settings.wording],
        "heldout": report_of(held),
    }
    return commit(
        out_uri,
        Manifest(
            step="formatting",
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=sum(shard.rows for shard in shards),
            shards=shards,
            counts=_tally(augmentation, train).counts(),
            lineage=lineage,
            attachments={
                "heldout": attach(out_uri, "heldout.parquet", parquet_bytes(table)),
                "report": attach(out_uri, "report.json", json.dumps(report, indent=1).encode()),
            },
        ),
    )


def _training(
    folder: str, augmentation: Manifest, out_uri: str, settings: FormattingSettings, workers: int
) -> tuple[tuple[Shard, ...], Formatted]:
    function = partial(format_shard, step=augmentation.step, out_uri=out_uri, settings=settings)
    shards: list[Shard] = []
    progress = Progress("formatting", augmentation.rows)

    def parts() -> Iterator[Formatted]:
        for shard, part in map_shards(function, folder, augmentation, workers):
            shards.append(shard)
            progress.update(shard.rows)
            yield part

    whole = merged(parts())
    progress.close()
    return tuple(shards), whole


def _tally(augmentation: Manifest, done: Formatted) -> Tally:
    tally = Tally("formatting")
    for count in augmentation.counts:
        tally.take(count.source, 0)  # a source that lost all its rows earlier keeps its line in the ledger
    for source, rows in done.rows.items():
        tally.take(source, rows)
        tally.keep(source, rows)
    return tally
