"""The selection step: which samples each training stage sees.

Eagle 2, section 2.2: stage 1.5 takes everything that passed the filters; stage 2 a balanced, high-quality subset:
a quota for each source, then a draw per category. K-means on image embeddings works for mathematics, documents and
charts and badly for natural scenes, so the strategy is a choice per category.
"""

import dataclasses
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.curation.quotas import SourceQuota, source_quotas
from data.curation.row_views import Float32Rows
from data.curation.selection_draw import STAGE_1, STAGE_1_5, STAGE_2, Choice, Rows, choose, needs_vectors
from data.curation.selection_shards import write_marked
from data.curation.vectors import Embeddings, read_embeddings
from data.errors import AerieError
from data.expectations.border import enforce_border
from data.expectations.selected import Group, selected_border
from data.ledger import Tally
from data.recipe import DataRecipe, load_data_recipe
from data.registry.cards import recipe_card
from data.settings.selection import CategorySelection
from data.storage import (
    Manifest,
    attach,
    commit,
    committed,
    fingerprint,
    read_manifest,
    read_tables,
)

VERSION = 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Every row that came in, in stored order. ids: bytes [N]; sources, categories: str [N]."""

    ids: np.ndarray
    sources: np.ndarray
    categories: np.ndarray


def read_population(folder: str, manifest: Manifest) -> Population:
    """Ids, sources and categories; the rest of the samples stays on disk."""
    empty = pa.table({name: pa.array([], pa.string()) for name in ("sample_id", "source", "category")})
    table = pa.concat_tables([empty, *read_tables(folder, manifest, empty.column_names)], promote_options="permissive")
    ids = table["sample_id"].cast(pa.binary()).to_numpy()
    return Population(
        ids=np.array(ids.tolist(), dtype=np.bytes_) if len(ids) else np.empty(0, "S1"),
        sources=_names(table["source"]),
        categories=_names(table["category"]),
    )


def _names(column: pa.ChunkedArray) -> np.ndarray:
    """str [N] of a column with few different values."""
    coded = column.combine_chunks().dictionary_encode()
    return np.array(coded.dictionary.to_pylist() or [""])[coded.indices.to_numpy()]


def make_choices(
    recipe: DataRecipe, rows: Population, quotas: dict[str, SourceQuota], embedding_uri: str, embedded: Manifest
) -> dict[str, tuple[np.ndarray, Choice]]:
    """Of each category its rows, sorted by id, and what was chosen. Vectors are read only where a strategy asks."""
    selection = recipe.data.selection
    settings = {name: selection.categories.get(name, selection.default) for name in np.unique(rows.categories).tolist()}
    vectors = None
    if any(needs_vectors(entry) for entry in settings.values()):
        vectors = _Vectors(read_embeddings(embedding_uri, embedded))
    choices = {}
    for category, entry in settings.items():
        own = np.flatnonzero(rows.categories == category)
        own = own[np.argsort(rows.ids[own], kind="stable")]
        choices[category] = (
            own,
            choose(
                _category_rows(rows, own, entry, vectors),
                entry,
                share=selection.stage_1_share,
                seed=recipe.seed,
                quotas=_shared(quotas, rows, own),
                backend=selection.kmeans_backend,
            ),
        )
    return choices


class _Vectors:
    """The embedding table by sample id."""

    def __init__(self, embeddings: Embeddings) -> None:
        self.images, self.texts = embeddings.images, embeddings.texts
        self._ids = pa.array(embeddings.sample_ids, pa.string())

    def rows_of(self, ids: np.ndarray) -> np.ndarray:
        """int64 [N]: the row of each id; `AerieError` names one that has none."""
        found = pc.index_in(pa.array(ids.tolist(), pa.binary()).cast(pa.string()), value_set=self._ids)
        if found.null_count:
            missing = ids[np.flatnonzero(found.is_null().to_numpy(zero_copy_only=False))[0]].decode()
            raise AerieError(f"sample {missing} has no embedding; run the embedding step again")
        return found.to_numpy().astype(np.int64)


def _category_rows(rows: Population, own: np.ndarray, entry: CategorySelection, vectors: _Vectors | None) -> Rows:
    if vectors is None or not needs_vectors(entry):
        return Rows(ids=rows.ids[own], sources=rows.sources[own])
    at = vectors.rows_of(rows.ids[own])
    images, texts = Float32Rows(vectors.images, at), Float32Rows(vectors.texts, at)
    return Rows(ids=rows.ids[own], sources=rows.sources[own], images=images, texts=texts)


def _shared(quotas: dict[str, SourceQuota], rows: Population, own: np.ndarray) -> dict[str, SourceQuota]:
    """The quotas inside one category: a source that lies in several gives to each by its rows there."""
    shared = {}
    names, counts = np.unique(rows.sources[own], return_counts=True)
    for name, count in zip(names.tolist(), counts.tolist(), strict=True):
        quota = quotas[name]
        if count < quota.rows:
            quota = dataclasses.replace(quota, rows=count, quota=round(quota.quota * count / quota.rows))
        shared[name] = quota
    return shared


def selection_report(
    choices: dict[str, tuple[np.ndarray, Choice]], quotas: dict[str, SourceQuota], rows: Population, kept: np.ndarray
) -> dict[str, Any]:
    """What the report page shows of the step; kept: bool [N], the rows of stage 2."""
    names, counts = np.unique(rows.sources[kept], return_counts=True)
    kept_of = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return {
        "categories": {category: choice.report for category, (_, choice) in choices.items()},
        "sources": [{**dataclasses.asdict(quota), "kept": kept_of.get(name, 0)} for name, quota in quotas.items()],
        "stages": {
            STAGE_1: {category: int(choice.stage_1.sum()) for category, (_, choice) in choices.items()},
            STAGE_1_5: {category: len(own) for category, (own, _) in choices.items()},
            STAGE_2: {category: int(choice.stage_2.sum()) for category, (_, choice) in choices.items()},
        },
    }


def _auto_labelled(recipe: DataRecipe) -> list[str]:
    """The sources whose labels a machine wrote; only the law of the quotas asks."""
    if recipe.data.selection.source_target is None:
        return []
    names = [use.name for use in recipe.data.sources]
    return [name for name in names if getattr(recipe_card(recipe, name), "auto_labelled", False)]


def _quotas(recipe: DataRecipe, auto: list[str], filtered: Manifest, rows: Population) -> dict[str, SourceQuota]:
    """The quotas of all sources, also of those that lost every row earlier."""
    names, counts = np.unique(rows.sources, return_counts=True)
    present = {use.name: 0 for use in recipe.data.sources} | {count.source: 0 for count in filtered.counts}
    present |= dict(zip(names.tolist(), counts.tolist(), strict=True))
    return source_quotas(present, auto, recipe.data.selection)


def _limits(recipe: DataRecipe, quotas: dict[str, SourceQuota]) -> dict[Group, int]:
    """What stage 2 may take of each category and source at most, where the recipe sets a limit."""
    entries = recipe.data.selection.categories.items()
    limits: dict[Group, int] = {("category", name): entry.quota for name, entry in entries if entry.quota is not None}
    return limits | {("source", name): quota.quota for name, quota in quotas.items() if quota.rule != "all"}


def _tally(filtered: Manifest, rows: Population) -> Tally:
    tally = Tally("selection")
    for count in filtered.counts:
        tally.take(count.source, 0)  # a source that lost all its rows earlier keeps its line in the ledger
    for name, count in zip(*np.unique(rows.sources, return_counts=True), strict=True):
        tally.take(str(name), int(count))
        tally.keep(str(name), int(count))
    return tally


def select_samples(recipe_uri: str, recipe_sha256: str, filter_uri: str, embedding_uri: str, out_uri: str) -> Manifest:
    """Write every sample with `meta["stages"]` and `meta["cluster"]`; nothing is dropped.

    Attachments: `report` (JSON), and of the border `selected` `expectations` (JSON) and `docs` (HTML).
    """
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    enforce_border(filter_uri)
    filtered, embedded = read_manifest(filter_uri), read_manifest(embedding_uri)
    lineage = {"filtering": filtered.sha256(), "embedding": embedded.sha256()}
    auto = _auto_labelled(recipe)
    mark = fingerprint(
        step="selection",
        version=VERSION,
        settings=recipe.data.selection.model_dump(),
        expectations=recipe.data.expectations.model_dump(),
        auto_labelled=auto,
        seed=recipe.seed,
        inputs=lineage,
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    rows = read_population(filter_uri, filtered)
    quotas = _quotas(recipe, auto, filtered, rows)
    choices = make_choices(recipe, rows, quotas, embedding_uri, embedded)
    count = len(rows.ids)
    stage_1, stage_2, cluster = np.zeros(count, bool), np.zeros(count, bool), np.full(count, -1, np.int32)
    for own, choice in choices.values():
        stage_1[own], stage_2[own], cluster[own] = choice.stage_1, choice.stage_2, choice.cluster
    shards, facts = write_marked(filter_uri, filtered, out_uri, (stage_1, stage_2, cluster))
    report = json.dumps(selection_report(choices, quotas, rows, stage_2), indent=1).encode()
    return commit(
        out_uri,
        Manifest(
            step="selection",
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=sum(shard.rows for shard in shards),
            shards=shards,
            counts=_tally(filtered, rows).counts(),
            lineage=lineage,
            attachments={
                "report": attach(out_uri, "report.json", report),
                **selected_border(out_uri, facts, _limits(recipe, quotas), recipe.data.expectations),
            },
        ),
    )
