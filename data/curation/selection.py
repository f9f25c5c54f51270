"""The selection step: which samples each training stage sees.

Eagle 2, section 2.2: stage 1.5 takes everything that passed the filters; stage 2 a balanced, high-quality subset,
drawn per category. K-means on image embeddings works for mathematics, documents and charts and badly for natural
scenes, so the strategy is a choice per category.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from data.curation.clustering import Clusters, balanced_quotas, cluster
from data.curation.similarity import has_image
from data.curation.vectors import Embeddings, read_embeddings
from data.errors import AerieError
from data.expectations.border import enforce_border
from data.expectations.selected import Group, SelectedFacts, selected_border, stage_table
from data.ledger import Tally
from data.recipe import DataRecipe, load_data_recipe
from data.registry.rows import seeded_rank
from data.schema import Sample
from data.settings.selection import CategorySelection
from data.storage import (
    Manifest,
    attach,
    commit,
    committed,
    fingerprint,
    read_manifest,
    read_samples,
    read_tables,
    write_samples,
)

VERSION = 2
MOSAIC_IMAGES = 6
STAGE_1, STAGE_1_5, STAGE_2 = "stage_1", "stage_1_5", "stage_2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one category gives: its stage-1 and stage-2 samples, and its clusters by sample (strategy kmeans)."""

    stage_1: frozenset[str]
    stage_2: frozenset[str]
    cluster_of: dict[str, int]
    report: dict[str, Any]


def choose(
    sample_ids: Sequence[str], vectors: np.ndarray, settings: CategorySelection, *, share: float, seed: int
) -> Choice:
    """Choose among a category's samples; `vectors` float32 [N, D] are used by kmeans only.

    Every draw ranks samples by a seeded hash of their id: rows may come in any order, and a sample's luck doesn't
    change because others join.
    """
    order = sorted(sample_ids)
    rows = {sample_id: row for row, sample_id in enumerate(sample_ids)}
    stage_1 = _first(order, max(1, round(share * len(order))), seed, STAGE_1)
    quota = len(order) if settings.quota is None else settings.quota
    report: dict[str, Any] = {"strategy": settings.strategy, "quota": settings.quota, "of": len(order)}
    cluster_of: dict[str, int] = {}
    if settings.strategy == "all":
        chosen = list(order)
    elif settings.strategy == "random":
        chosen = _first(order, quota, seed, STAGE_2)
    else:
        found = cluster(vectors[[rows[sample_id] for sample_id in order]], settings.clusters, seed)
        chosen, details = _balanced(order, found, quota, seed)
        cluster_of = dict(zip(order, found.labels.tolist(), strict=True))
        report |= details
    report["kept"] = len(chosen)
    return Choice(stage_1=frozenset(stage_1), stage_2=frozenset(chosen), cluster_of=cluster_of, report=report)


def _first(sample_ids: Sequence[str], count: int, seed: int, stage: str) -> list[str]:
    return sorted(sample_ids, key=lambda sample_id: seeded_rank(seed, stage, sample_id))[:count]


def _balanced(sample_ids: Sequence[str], found: Clusters, quota: int, seed: int) -> tuple[list[str], dict[str, Any]]:
    """The draw and its account: sizes before and after, covered share of the clusters, pictures for the mosaic."""
    members: list[list[int]] = [[] for _ in range(found.k)]
    for row, label in enumerate(found.labels.tolist()):
        members[label].append(row)
    sizes = [len(rows) for rows in members]
    quotas = balanced_quotas(sizes, quota)
    chosen = []
    for rows, count in zip(members, quotas, strict=True):
        chosen += _first([sample_ids[row] for row in rows], count, seed, STAGE_2)
    filled = sum(size > 0 for size in sizes)
    nearest = [sorted(rows, key=lambda row: (-found.similarity[row], row))[:MOSAIC_IMAGES] for rows in members]
    return chosen, {
        "clusters": found.k,
        "before": sizes,
        "after": quotas,
        "coverage": sum(count > 0 for count in quotas) / max(1, filled),
        "mosaic": [
            {"cluster": label, "size": sizes[label], "sample_ids": [sample_ids[row] for row in rows]}
            for label, rows in enumerate(nearest)
            if rows
        ],
    }


def category_vectors(embeddings: Embeddings, rows: Sequence[int]) -> np.ndarray:
    """The image vectors of some rows; a category with samples that have no image is compared by its texts."""
    images = embeddings.images[list(rows)]
    return images if has_image(images).all() else embeddings.texts[list(rows)]


def _choices(recipe: DataRecipe, categories: dict[str, list[str]], embeddings: Embeddings) -> dict[str, Choice]:
    settings, row_of = recipe.data.selection, {name: row for row, name in enumerate(embeddings.sample_ids)}
    choices = {}
    for category in sorted(categories):
        ids = categories[category]
        missing = [sample_id for sample_id in ids if sample_id not in row_of]
        if missing:
            raise AerieError(f"sample {missing[0]} has no embedding; run the embedding step again")
        choices[category] = choose(
            ids,
            category_vectors(embeddings, [row_of[sample_id] for sample_id in ids]),
            settings.categories.get(category, settings.default),
            share=settings.stage_1_share,
            seed=recipe.seed,
        )
    return choices


def marked(sample: Sample, choice: Choice) -> Sample:
    """The sample with its stages and its cluster in `meta`."""
    stages = [STAGE_1] if sample.sample_id in choice.stage_1 else []
    stages += [STAGE_1_5] + ([STAGE_2] if sample.sample_id in choice.stage_2 else [])
    return replace(sample, meta={**sample.meta, "stages": stages, "cluster": choice.cluster_of.get(sample.sample_id)})


def selection_report(choices: dict[str, Choice], categories: dict[str, list[str]]) -> dict[str, Any]:
    """What the report page shows of the step."""
    return {
        "categories": {category: choice.report for category, choice in choices.items()},
        "stages": {
            STAGE_1: {category: len(choice.stage_1) for category, choice in choices.items()},
            STAGE_1_5: {category: len(ids) for category, ids in sorted(categories.items())},
            STAGE_2: {category: len(choice.stage_2) for category, choice in choices.items()},
        },
    }


def select_samples(recipe_uri: str, recipe_sha256: str, filter_uri: str, embedding_uri: str, out_uri: str) -> Manifest:
    """Write every sample with `meta["stages"]` and `meta["cluster"]`; nothing is dropped.

    Attachments: `report` (JSON), and of the border `selected` `expectations` (JSON) and `docs` (HTML).
    """
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    enforce_border(filter_uri)
    filtered, embedded = read_manifest(filter_uri), read_manifest(embedding_uri)
    lineage = {"filtering": filtered.sha256(), "embedding": embedded.sha256()}
    mark = fingerprint(
        step="selection",
        version=VERSION,
        settings=recipe.data.selection.model_dump(),
        expectations=recipe.data.expectations.model_dump(),
        seed=recipe.seed,
        rows_per_shard=recipe.data.rows_per_shard,
        inputs=lineage,
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    categories: defaultdict[str, list[str]] = defaultdict(list)
    facts = SelectedFacts()
    for table in read_tables(filter_uri, filtered, ["sample_id", "source", "category"]):
        facts.expect(table)
        for sample_id, category in zip(table["sample_id"].to_pylist(), table["category"].to_pylist(), strict=True):
            categories[category].append(sample_id)
    choices = _choices(recipe, categories, read_embeddings(embedding_uri, embedded))
    tally = Tally("selection")
    for count in filtered.counts:
        tally.take(count.source, 0)  # a source that lost all its rows earlier keeps its line in the ledger

    seen: list[Sample] = []

    def rows() -> Iterator[Sample]:
        for sample in read_samples(filter_uri, filtered):
            tally.take(sample.source)
            tally.keep(sample.source)
            chosen = marked(sample, choices[sample.category])
            seen.append(chosen)
            yield chosen

    shards = write_samples(out_uri, rows(), recipe.data.rows_per_shard)
    facts.see(_stages_of(seen))
    report = json.dumps(selection_report(choices, categories), indent=1).encode()
    return commit(
        out_uri,
        Manifest(
            step="selection",
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=sum(shard.rows for shard in shards),
            shards=shards,
            counts=tally.counts(),
            lineage=lineage,
            attachments={
                "report": attach(out_uri, "report.json", report),
                **selected_border(out_uri, facts, _quotas(recipe, categories), recipe.data.expectations),
            },
        ),
    )


def _stages_of(samples: Sequence[Sample]) -> pa.Table:
    return stage_table(
        [
            {
                "sample_id": sample.sample_id,
                "source": sample.source,
                "category": sample.category,
                "stages": sample.meta["stages"],
                "cluster": sample.meta["cluster"],
            }
            for sample in samples
        ]
    )


def _quotas(recipe: DataRecipe, categories: Iterable[str]) -> dict[Group, int]:
    """What the recipe lets stage 2 take of each category, where it sets a limit."""
    settings = recipe.data.selection
    limits = {category: settings.categories.get(category, settings.default).quota for category in categories}
    return {("category", category): quota for category, quota in limits.items() if quota is not None}
