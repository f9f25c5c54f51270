"""One category's draw: source quotas first, then the category's quota, both by the category's strategy.

A strategy is a `Draw`: it picks so many out of some rows. A source above its quota gives that many, drawn like the
category; the category's own quota then draws from what the sources give. Explicit source quotas win over both the
law of the quotas and the category's quota.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data.curation.clustering import Clusters, balanced_quotas, cluster
from data.curation.coverage import coverage
from data.curation.coverage_draw import coverage_draw, joint_vectors
from data.curation.quotas import SourceQuota
from data.curation.row_views import Float32Rows
from data.curation.seeded_order import first_by_rank, seeded_ranks
from data.curation.selection_draw_types import Draw
from data.settings.selection import CategorySelection

MOSAIC_IMAGES = 6
STAGE_1, STAGE_1_5, STAGE_2 = "stage_1", "stage_1_5", "stage_2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A category's N rows in the order of their ids. ids: bytes [N]; sources: str [N]; images, texts: their vectors,
    None where the strategy looks at none.
    """

    ids: np.ndarray
    sources: np.ndarray
    images: Float32Rows | None = None
    texts: Float32Rows | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one category gives. stage_1, stage_2: bool [N]; cluster: int32 [N], -1 without; report: JSON values."""

    stage_1: np.ndarray
    stage_2: np.ndarray
    cluster: np.ndarray
    report: dict[str, Any] = field(default_factory=dict)


def needs_vectors(settings: CategorySelection) -> bool:
    """Whether a strategy looks at vectors."""
    return settings.strategy in ("kmeans", "coverage")


def choose(
    rows: Rows,
    settings: CategorySelection,
    *,
    share: float,
    seed: int,
    quotas: Mapping[str, SourceQuota] | None = None,
    backend: str = "auto",
) -> Choice:
    """Choose among a category's rows, which must be sorted by id; `quotas` None or without a source: it gives all."""
    count = len(rows.ids)
    everything = np.arange(count)
    stage_1 = first_by_rank(everything, seeded_ranks(seed, STAGE_1, rows.ids.tolist()), max(1, round(share * count)))
    ranks = seeded_ranks(seed, STAGE_2, rows.ids.tolist())
    report: dict[str, Any] = {"strategy": settings.strategy, "quota": settings.quota, "of": count}
    labels = np.full(count, -1, np.int32)
    quota = count if settings.quota is None or settings.strategy == "all" else settings.quota
    if settings.strategy == "kmeans":
        vectors = category_vectors(rows)
        found = cluster(vectors, settings.clusters, seed, backend)
        labels = found.labels.astype(np.int32)
        chosen = within_quotas(balanced_draw(labels, ranks), rows.sources, quotas or {}, quota)
        report |= _clusters_report(rows.ids, found, chosen) | _compared(vectors, rows.ids, chosen, seed)
    elif settings.strategy == "coverage":
        assert rows.images is not None
        assert rows.texts is not None
        joint = joint_vectors(rows.images, rows.texts, seed)
        chosen = within_quotas(coverage_draw(joint, ranks, seed), rows.sources, quotas or {}, quota)
        report |= _compared(Float32Rows.whole(joint), rows.ids, chosen, seed)
    else:
        chosen = within_quotas(random_draw(ranks), rows.sources, quotas or {}, quota)
    report["kept"] = len(chosen)
    return Choice(stage_1=_mask(stage_1, count), stage_2=_mask(chosen, count), cluster=labels, report=report)


def _mask(rows: np.ndarray, count: int) -> np.ndarray:
    mask = np.zeros(count, bool)
    mask[rows] = True
    return mask


def category_vectors(rows: Rows) -> Float32Rows:
    """Image vectors; a category with a row that has no image is compared by its texts."""
    assert rows.images is not None
    assert rows.texts is not None
    pictured = all(np.einsum("nd,nd->n", block, block).all() for _, block in rows.images.blocks())
    return rows.images if pictured else rows.texts


def random_draw(ranks: np.ndarray) -> Draw:
    """The rows of lowest seeded rank."""
    return lambda rows, count: first_by_rank(rows, ranks, count)


def balanced_draw(labels: np.ndarray, ranks: np.ndarray) -> Draw:
    """As many of each cluster as its size allows, inside a cluster by seeded rank."""

    def draw(rows: np.ndarray, count: int) -> np.ndarray:
        order = rows[np.lexsort((ranks[rows], labels[rows]))]
        sizes = np.bincount(labels[order])
        quotas = np.array(balanced_quotas(sizes.tolist(), count))
        place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within its cluster
        return order[place < quotas[labels[order]]]

    return draw


def within_quotas(draw: Draw, sources: np.ndarray, quotas: Mapping[str, SourceQuota], quota: int) -> np.ndarray:
    """The rows chosen: what the sources give, cut to the category's quota; explicit quotas are not cut."""
    fixed, free = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for source in np.unique(sources).tolist():
        rows, given = np.flatnonzero(sources == source), quotas.get(source)
        explicit = given is not None and given.rule == "explicit"
        count = len(rows) if given is None else min(given.quota, len(rows))
        (fixed if explicit else free).append(draw(rows, count) if count < len(rows) else rows)
    sure, pool = np.concatenate(fixed), np.sort(np.concatenate(free))
    left = max(0, quota - len(sure))
    return np.sort(np.concatenate([sure, draw(pool, left) if left < len(pool) else pool]))


def _compared(vectors: Float32Rows, ids: np.ndarray, chosen: np.ndarray, seed: int) -> dict[str, Any]:
    """The coverage beside chance; nothing to say when nothing or everything was chosen."""
    if not 0 < len(chosen) < len(ids):
        return {}
    draws = [seeded_ranks(seed, purpose, ids.tolist()) for purpose in ("probe", "random")]
    return {"compared": coverage(vectors, chosen, *draws)}


def _clusters_report(ids: np.ndarray, found: Clusters, chosen: np.ndarray) -> dict[str, Any]:
    """Sizes before and after, covered share of the clusters, and of each cluster the pictures for the mosaic."""
    before = np.bincount(found.labels, minlength=found.k)
    after = np.bincount(found.labels[chosen], minlength=found.k)
    order = np.lexsort((np.arange(len(ids)), -found.similarity, found.labels))
    starts = np.cumsum(before) - before
    return {
        "clusters": found.k,
        "backend": found.backend,
        "before": before.tolist(),
        "after": after.tolist(),
        "coverage": float((after > 0).sum() / max(1, (before > 0).sum())),
        "mosaic": [
            {
                "cluster": label,
                "size": int(size),
                "sample_ids": [
                    ids[row].decode() for row in order[starts[label] : starts[label] + min(size, MOSAIC_IMAGES)]
                ],
            }
            for label, size in enumerate(before.tolist())
            if size
        ],
    }
