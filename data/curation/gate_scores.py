"""Scores of the similarity gate: each source against the pool of its category, and a sample of it across categories."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.curation.gate_pool import ExistingPool
from data.curation.row_views import RowView
from data.curation.similarity_device import nearest_in_pool
from data.curation.vectors import Embeddings
from data.errors import AerieError
from data.progress import Progress
from data.registry.rows import seeded_rank
from data.settings.gate import GateSettings

EXAMPLES = 5
OTHERS_PER_ROW = 32  # rows of other sources, for each sampled row of a source


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Some rows of an embedding table; `origin` tells the report where they are: `run` or `pool`."""

    embeddings: Embeddings
    rows: np.ndarray
    origin: str = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """score: S; best float32 [N]; for each row the pool (its number) and the row of it that is nearest."""

    score: float
    best: np.ndarray
    pools: np.ndarray
    rows: np.ndarray


def decide(score: float | None, settings: GateSettings, category: str | None = None) -> str:
    """`admit`, `flag` (kept, shown in the report) or `reject`; without a pool there is nothing to be redundant with."""
    flag, reject = settings.thresholds(category)
    if score is None:
        return "admit"
    if score > reject:
        return "reject"
    return "flag" if score > flag else "admit"


def judge_sources(
    embeddings: Embeddings,
    order: list[str],
    settings: GateSettings,
    *,
    seed: int = 0,
    existing: ExistingPool | None = None,
) -> list[dict[str, Any]]:
    """One report entry per (source, category), in the recipe's order.

    The pool of an entry is the existing pool's rows of its category, and what earlier entries of the category brought
    in and the gate did not reject; without either there is none. `cross_category_score` is S of a seeded sample against
    a sample of all other sources' rows, for information.
    """
    if unknown := sorted(set(embeddings.sources) - set(order)):
        raise AerieError(f"sources {unknown} are embedded but not in the recipe; it lists {order}; embed again")
    groups = _groups(embeddings)
    across = _Across(embeddings, settings.cross_category_rows, seed)
    pools = _existing_by_category(existing.without(set(order))) if existing is not None else {}
    entries = []
    progress = Progress("similarity gate", len(embeddings.sources))
    for source, category in sorted(groups, key=lambda pair: (order.index(pair[0]), pair[1])):
        new = groups[source, category]
        entry, rejected = _entry(embeddings, new, pools.get(category, []), across, settings)
        entries.append(entry)
        if not rejected:
            pools.setdefault(category, []).append(Pool(embeddings=embeddings, rows=new))
        progress.update(len(new))
    progress.close()
    return entries


def _entry(
    embeddings: Embeddings, new: np.ndarray, pools: list[Pool], across: "_Across", settings: GateSettings
) -> tuple[dict[str, Any], bool]:
    source, category = embeddings.sources[new[0]], embeddings.categories[new[0]]
    inside = compare(embeddings, new, pools)
    few, others = across.sample(source, new)
    outside = compare(embeddings, few, [others])
    score = inside.score if inside else None
    decision = decide(score, settings, category)
    neighbours: list[dict[str, Any]] = []
    if inside is not None:
        neighbours = _neighbours(embeddings, new, inside, pools)
    elif outside is not None:
        neighbours = _neighbours(embeddings, few, outside, [others])
    flag, reject = settings.thresholds(category)
    return {
        "source": source,
        "category": category,
        "rows": len(new),
        "pool_rows": sum(len(pool.rows) for pool in pools),
        "score": score,
        "flag_above": flag,
        "reject_above": reject,
        "cross_category_score": outside.score if outside else None,
        "cross_category_rows": [len(few), len(others.rows)] if outside else None,
        "cross_category_sampled": bool(outside) and (len(few) < len(new) or len(others.rows) < across.others(source)),
        "decision": decision,
        "neighbours_from": "category" if inside else "cross_category",
        "neighbours": neighbours,
    }, decision == "reject"


def compare(embeddings: Embeddings, new: np.ndarray, pools: Sequence[Pool]) -> Nearest | None:
    """Eq. 1 of some rows against some pools together, or None when one side is empty. The first pool wins a tie."""
    best = np.full(len(new), -np.inf, np.float32)
    which, rows = np.zeros(len(new), np.int64), np.zeros(len(new), np.int64)
    images, texts = RowView(embeddings.images, new), RowView(embeddings.texts, new)
    for number, pool in enumerate(pools):
        if not len(new) or not len(pool.rows):
            continue
        others = RowView(pool.embeddings.images, pool.rows), RowView(pool.embeddings.texts, pool.rows)
        found = nearest_in_pool(images, texts, *others)
        better = found.best > best
        best[better], which[better] = found.best[better], number
        rows[better] = pool.rows[found.nearest[better]]
    if not len(new) or not np.isfinite(best).all():
        return None
    return Nearest(score=float(best.mean(dtype=np.float64)), best=best, pools=which, rows=rows)


def _groups(embeddings: Embeddings) -> dict[tuple[str, str], np.ndarray]:
    """int64 row numbers, ascending, of each (source, category)."""
    numbers: dict[tuple[str, str], int] = {}
    pairs = zip(embeddings.sources, embeddings.categories, strict=True)
    codes = np.fromiter((numbers.setdefault(pair, len(numbers)) for pair in pairs), np.int32, len(embeddings.sources))
    return {pair: np.flatnonzero(codes == number) for pair, number in numbers.items()}


def _existing_by_category(existing: ExistingPool) -> dict[str, list[Pool]]:
    found: dict[str, list[int]] = {}
    for row in existing.rows.tolist():
        found.setdefault(existing.embeddings.categories[row], []).append(row)
    return {
        category: [Pool(embeddings=existing.embeddings, rows=np.array(rows, np.int64), origin="pool")]
        for category, rows in found.items()
    }


def _neighbours(embeddings: Embeddings, new: np.ndarray, found: Nearest, pools: list[Pool]) -> list[dict[str, Any]]:
    """The rows most like the pool, each with its nearest pool row."""
    highest = np.argsort(-found.best, kind="stable")[:EXAMPLES]
    return [
        {
            "sample_id": embeddings.sample_ids[new[row]],
            "nearest_id": (pool := pools[found.pools[row]]).embeddings.sample_ids[found.rows[row]],
            "nearest_source": pool.embeddings.sources[found.rows[row]],
            "nearest_from": pool.origin,
            "similarity": float(found.best[row]),
        }
        for row in highest
    ]


class _Across:
    """Seeded samples for the comparison across categories: the same whatever the order of the rows."""

    def __init__(self, embeddings: Embeddings, rows: int, seed: int) -> None:
        self._embeddings, self._rows = embeddings, rows
        names: dict[str, int] = {}
        codes = (names.setdefault(source, len(names)) for source in embeddings.sources)
        self._codes = np.fromiter(codes, np.int32, len(embeddings.sources))
        self._names = names
        ids = embeddings.sample_ids if rows else []
        self._ranks = np.fromiter((seeded_rank(seed, "gate", key) for key in ids), np.uint64, len(ids))

    def sample(self, source: str, new: np.ndarray) -> tuple[np.ndarray, Pool]:
        """Rows of a source (ascending), and rows of all others; both empty when nothing is asked for."""
        few = self._lowest(new, self._rows)
        outside = np.flatnonzero(self._codes != self._names[source]) if self._rows else np.zeros(0, np.int64)
        return few, Pool(embeddings=self._embeddings, rows=self._lowest(outside, self._rows * OTHERS_PER_ROW))

    def others(self, source: str) -> int:
        """How many rows of other sources there are."""
        return int((self._codes != self._names[source]).sum())

    def _lowest(self, rows: np.ndarray, count: int) -> np.ndarray:
        if count == 0 or len(rows) <= count:
            return rows if count else np.zeros(0, np.int64)
        return np.sort(rows[np.argpartition(self._ranks[rows], count)[:count]])
