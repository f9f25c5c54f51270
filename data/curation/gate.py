"""The gate step: redundant sources (Eq. 1), benchmark rows and near-duplicates leave the training data."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from data.curation.duplicate_search import duplicate_report, duplicates_among
from data.curation.embedding_benchmarks import benchmark_sets
from data.curation.gate_pool import ExistingPool, existing_pool, pool_identity
from data.curation.gate_rows import Benchmarks, keys_of, picked
from data.curation.gate_scores import judge_sources
from data.curation.vectors import Embeddings, read_embeddings
from data.ledger import Tally
from data.recipe import DataRecipe, load_data_recipe
from data.registry.sourcing import parquet_bytes
from data.storage import (
    Manifest,
    ShardWriter,
    attach,
    commit,
    committed,
    fingerprint,
    read_manifest,
    read_tables,
)

VERSION = 3
REJECTED, CONTAMINATED, NEAR_DUPLICATE = "gate_rejected", "benchmark_contamination", "near_duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The report, the reason of each row that goes, and samples from elsewhere that the report shows."""

    report: dict[str, Any]
    dropped: dict[int, str]
    examples: pa.Table


def gate_sources(
    recipe_uri: str, recipe_sha256: str, validation_uri: str, embedding_uri: str, out_uri: str
) -> Manifest:
    """Judge every source, then remove benchmark rows and duplicates; shards hold the surviving samples.

    Attachments: `report` (JSON) and `examples` (Parquet of `SAMPLE_SCHEMA`: benchmark and pool rows that it names).
    """
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    validated, embedded = read_manifest(validation_uri), read_manifest(embedding_uri)
    mark = fingerprint(
        step="gate",
        version=VERSION,
        settings=recipe.data.gate.model_dump(),
        order=[use.name for use in recipe.data.sources],
        seed=recipe.seed,
        rows_per_shard=recipe.data.rows_per_shard,
        inputs=[validated.sha256(), embedded.sha256(), *pool_identity(recipe.data.gate)],
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    judged = _judge(recipe, validation_uri, validated, embedding_uri, embedded)
    tally, writer = Tally("gate"), ShardWriter(out_uri, rows_per_shard=recipe.data.rows_per_shard)
    for table in _surviving(validation_uri, validated, judged.dropped, tally):
        writer.write_table(table)
    shards = writer.close()
    return commit(
        out_uri,
        Manifest(
            step="gate",
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=sum(shard.rows for shard in shards),
            shards=shards,
            counts=tally.counts(),
            lineage={"validation": validated.sha256(), "embedding": embedded.sha256()},
            attachments={
                "report": attach(out_uri, "report.json", json.dumps(judged.report, indent=1).encode()),
                "examples": attach(out_uri, "examples.parquet", parquet_bytes(judged.examples)),
            },
        ),
    )


def _judge(
    recipe: DataRecipe, validation_uri: str, validated: Manifest, embedding_uri: str, embedded: Manifest
) -> Judgement:
    """Everything but the writing. Reads ids and turns a shard at a time; image bytes stay on disk."""
    settings, tokens = recipe.data.gate, recipe.data.embedding.max_text_tokens
    embeddings = read_embeddings(embedding_uri, embedded)
    columns = read_tables(validation_uri, validated, ["sample_id", "conversations"])
    keys = keys_of(columns, embeddings, tokens, validation_uri)
    benchmarks = Benchmarks.read(benchmark_sets(recipe, validation_uri, validated), embedding_uri, embedded, tokens)
    existing = existing_pool(settings, embedding_uri, embedded)
    order = [use.name for use in recipe.data.sources]
    entries = judge_sources(embeddings, order, settings, seed=recipe.seed, existing=existing)
    rejected = {(entry["source"], entry["category"]) for entry in entries if entry["decision"] == "reject"}
    dropped = dict.fromkeys(_rows_of(embeddings, rejected), REJECTED)
    leaked = benchmarks.contaminated(embeddings, keys[0], _left(embeddings, dropped), settings)
    dropped |= {item.row: CONTAMINATED for item in leaked}
    copies = duplicates_among(embeddings, _left(embeddings, dropped), keys, settings.duplicate_above)
    dropped |= {item.row: NEAR_DUPLICATE for item in copies}
    contamination = benchmarks.report(embeddings, leaked, settings)
    shown = benchmarks.samples({item["benchmark_id"] for item in contamination["examples"]})
    return Judgement(
        report={
            "sources": entries,
            "pool": _pool_report(existing, set(order)),
            "contamination": contamination,
            "near_duplicates": duplicate_report(embeddings, copies, settings.duplicate_above),
        },
        dropped=dropped,
        examples=pa.concat_tables([shown, _pool_samples(settings.pool_rows, entries)]),
    )


def _rows_of(embeddings: Embeddings, pairs: set[tuple[str, str]]) -> Iterator[int]:
    """The rows of these (source, category) pairs."""
    every = zip(embeddings.sources, embeddings.categories, strict=True)
    return (row for row, pair in enumerate(every) if pair in pairs)


def _left(embeddings: Embeddings, dropped: dict[int, str]) -> np.ndarray:
    """int64 row numbers that nothing has dropped so far."""
    left = np.ones(len(embeddings.sample_ids), bool)
    left[list(dropped)] = False
    return np.flatnonzero(left)


def _pool_report(existing: ExistingPool | None, order: set[str]) -> dict[str, Any] | None:
    if existing is None:
        return None
    rows = existing.without(order).rows
    return {"uri": existing.uri, "rows": len(rows), "rows_of_this_recipes_sources": len(existing.rows) - len(rows)}


def _pool_samples(pool_rows: str | None, entries: list[dict[str, Any]]) -> pa.Table:
    """The pool's rows that the report names, as far as the recipe says where its samples are."""
    wanted = {pair["nearest_id"] for entry in entries for pair in entry["neighbours"] if pair["nearest_from"] == "pool"}
    tables = read_tables(pool_rows, read_manifest(pool_rows)) if pool_rows and wanted else ()
    return picked(tables, wanted)


def _surviving(folder: str, manifest: Manifest, dropped: dict[int, str], tally: Tally) -> Iterator[pa.Table]:
    """The tables of a folder without the dropped rows; every row is counted."""
    start = 0
    for count in manifest.counts:
        tally.take(count.source, 0)  # a source that lost all its rows earlier keeps its line in the ledger
    for table in read_tables(folder, manifest):
        stay = np.ones(table.num_rows, bool)
        for row, source in enumerate(table["source"].to_pylist()):
            tally.take(source)
            if (reason := dropped.get(start + row)) is None:
                tally.keep(source)
            else:
                tally.drop(source, reason)
                stay[row] = False
        start += table.num_rows
        yield table.filter(pa.array(stay))
