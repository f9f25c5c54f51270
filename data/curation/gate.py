"""The gate step: how much of a source the pool already holds (Eq. 1), what to do with it, and duplicates."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from data.curation.duplicate_search import duplicate_report, duplicates_among, turn_keys
from data.curation.similarity import Similarity, pool_similarity
from data.curation.vectors import Embeddings, read_embeddings
from data.errors import AerieError
from data.ledger import Tally
from data.progress import Progress
from data.recipe import DataRecipe, load_data_recipe
from data.settings.gate import GateSettings
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

VERSION = 2
EXAMPLES = 5
REJECTED, NEAR_DUPLICATE = "gate_rejected", "near_duplicate"


def decide(score: float | None, settings: GateSettings) -> str:
    """`admit`, `flag` (kept, shown in the report) or `reject`; without a pool there is nothing to be redundant with."""
    if score is None:
        return "admit"
    if score > settings.reject_above:
        return "reject"
    return "flag" if score > settings.flag_above else "admit"


def judge_sources(embeddings: Embeddings, order: list[str], settings: GateSettings) -> list[dict[str, Any]]:
    """One report entry per (source, category), in the recipe's order.

    The pool of an entry is what earlier entries of its category brought in and the gate did not reject; the first
    of a category has none. `cross_category_score` is S against all rows of all other sources, for information.
    """
    sources, categories = np.array(embeddings.sources), np.array(embeddings.categories)
    unknown = sorted(set(embeddings.sources) - set(order))
    if unknown:
        raise AerieError(f"sources {unknown} are embedded but not in the recipe; it lists {order}; embed again")
    pool = np.zeros(len(sources), bool)
    entries = []
    progress = Progress("similarity gate", len(sources))
    for source in order:
        for category in sorted(set(categories[sources == source])):
            new = np.flatnonzero((sources == source) & (categories == category))
            inside = _compare(embeddings, new, np.flatnonzero(pool & (categories == category)))
            across = _compare(embeddings, new, np.flatnonzero(sources != source))
            score = inside[0].score if inside else None
            decision = decide(score, settings)
            shown = inside or across
            entries.append(
                {
                    "source": source,
                    "category": str(category),
                    "rows": len(new),
                    "score": score,
                    "cross_category_score": across[0].score if across else None,
                    "decision": decision,
                    "neighbours_from": "category" if inside else "cross_category",
                    "neighbours": _neighbours(embeddings, new, *shown) if shown else [],
                }
            )
            if decision != "reject":
                pool[new] = True
            progress.update(len(new))
    progress.close()
    return entries


def _compare(embeddings: Embeddings, new: np.ndarray, pool: np.ndarray) -> tuple[Similarity, np.ndarray] | None:
    """Eq. 1 of some rows against others with the pool's row numbers, or None without a pool."""
    if not len(new) or not len(pool):
        return None
    images, texts = embeddings.images, embeddings.texts
    return pool_similarity(images[new], texts[new], images[pool], texts[pool]), pool


def _neighbours(
    embeddings: Embeddings, new: np.ndarray, similarity: Similarity, pool: np.ndarray
) -> list[dict[str, Any]]:
    """The rows most like the pool, each with its nearest pool row."""
    highest = np.argsort(-similarity.best, kind="stable")[:EXAMPLES]
    return [
        {
            "sample_id": embeddings.sample_ids[new[row]],
            "nearest_id": embeddings.sample_ids[pool[similarity.nearest[row]]],
            "similarity": float(similarity.best[row]),
        }
        for row in highest
    ]


def _surviving(
    folder: str, manifest: Manifest, embeddings: Embeddings, dropped: dict[int, str], tally: Tally
) -> Iterator[pa.Table]:
    """The tables of a folder without the dropped rows; every row is counted."""
    start = 0
    for count in manifest.counts:
        tally.take(count.source, 0)  # a source that lost all its rows earlier keeps its line in the ledger
    for table in read_tables(folder, manifest):
        rows = range(start, start + table.num_rows)
        start += table.num_rows
        for row in rows:
            source = embeddings.sources[row]
            tally.take(source)
            if row in dropped:
                tally.drop(source, dropped[row])
            else:
                tally.keep(source)
        yield table.filter(pa.array([row not in dropped for row in rows], pa.bool_()))


def gate_sources(
    recipe_uri: str, recipe_sha256: str, validation_uri: str, embedding_uri: str, out_uri: str
) -> Manifest:
    """Judge every source, then remove duplicates; shards hold the surviving samples, attachment `report` is JSON."""
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    validated, embedded = read_manifest(validation_uri), read_manifest(embedding_uri)
    mark = fingerprint(
        step="gate",
        version=VERSION,
        settings=recipe.data.gate.model_dump(),
        order=[use.name for use in recipe.data.sources],
        rows_per_shard=recipe.data.rows_per_shard,
        inputs=[validated.sha256(), embedded.sha256()],
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    embeddings = read_embeddings(embedding_uri, embedded)
    report, dropped = _judge(recipe, validation_uri, validated, embeddings)
    tally, writer = Tally("gate"), ShardWriter(out_uri, rows_per_shard=recipe.data.rows_per_shard)
    for table in _surviving(validation_uri, validated, embeddings, dropped, tally):
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
            attachments={"report": attach(out_uri, "report.json", json.dumps(report, indent=1).encode())},
        ),
    )


def _judge(
    recipe: DataRecipe, validation_uri: str, validated: Manifest, embeddings: Embeddings
) -> tuple[dict[str, Any], dict[int, str]]:
    """The report, and the reason of each row that goes. Reads ids and turns only; image bytes stay on disk."""
    settings = recipe.data.gate
    columns = list(read_tables(validation_uri, validated, ["sample_id", "conversations"]))
    sample_ids = [value for table in columns for value in table["sample_id"].to_pylist()]
    if sample_ids != embeddings.sample_ids:
        raise AerieError(f"embeddings and samples of {validation_uri} differ in their rows; run the embedding again")
    conversations = [turns for table in columns for turns in table["conversations"].to_pylist()]
    entries = judge_sources(embeddings, [use.name for use in recipe.data.sources], settings)
    rejected = {(entry["source"], entry["category"]) for entry in entries if entry["decision"] == "reject"}
    pairs = list(zip(embeddings.sources, embeddings.categories, strict=True))
    dropped = {row: REJECTED for row, pair in enumerate(pairs) if pair in rejected}
    admitted = np.array([row for row in range(len(pairs)) if row not in dropped], dtype=np.int64)
    keys = turn_keys(conversations, embeddings.pictures, recipe.data.embedding.max_text_tokens)
    found = duplicates_among(embeddings, admitted, keys, settings.duplicate_above)
    dropped |= {item.row: NEAR_DUPLICATE for item in found}
    return {
        "sources": entries,
        "near_duplicates": duplicate_report(embeddings, found, settings.duplicate_above),
    }, dropped
