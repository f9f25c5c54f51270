"""How good a packing is: five metrics and two histograms, as plain numbers for JSON."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from model.inputs.packing_plan import PackPlan

HISTOGRAM_BINS = 20
RANKS = 64  # the imbalances are those of a step of so many packs, one a rank


def packing_metrics(plan: PackPlan, lengths: ArrayLike, tiles: ArrayLike, capacity: int) -> dict[str, float]:
    """`packs`, how many, and five metrics of a plan in training order; `lengths` and `tiles` are [N].

    - `fill`: mean share of the capacity that holds tokens.
    - `samples_per_pack`, and `samples_per_pack_std`: mean and standard deviation over the packs.
    - `length_spread`: standard deviation of the samples' lengths inside a pack, tokens, mean over the packs. It is
      small where long samples sit with long ones.
    - `attention_imbalance`: of the attention work, the sum of squared lengths (`imbalance`).
    - `tile_imbalance`: of the tiles, the vision towers' work; 0 without tiles.
    """
    length, count = np.asarray(lengths, dtype=np.float64), np.asarray(tiles, dtype=np.float64)
    sizes, tokens, work = plan.sizes, plan.sums(length), plan.sums(np.square(length))
    variance = np.maximum(work / sizes - np.square(tokens / sizes), 0)
    return {
        "packs": len(plan),
        "fill": _mean(tokens) / capacity,
        "samples_per_pack": _mean(sizes),
        "samples_per_pack_std": float(sizes.std()) if len(plan) else 0.0,
        "length_spread": _mean(np.sqrt(variance)),
        "attention_imbalance": imbalance(work),
        "tile_imbalance": imbalance(plan.sums(count)),
    }


def imbalance(work: np.ndarray, ranks: int = RANKS) -> float:
    """How long a step of one pack a rank takes, for the mean rank's work as 1: the mean over the steps of max / mean.

    `work` is [P], a pack's work in training order; pack p belongs to step p // ranks. An incomplete last step doesn't
    count unless it is the only one; nor does a step without any work. 1 is even; 0 when nothing counts.
    """
    steps = work[: len(work) // ranks * ranks].reshape(-1, ranks) if len(work) >= ranks else work[None]
    steps = steps[steps.sum(axis=1) > 0]
    return _mean(steps.max(axis=1) / steps.mean(axis=1)) if len(steps) else 0.0


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def histogram(values: ArrayLike, low: float, high: float, bins: int = HISTOGRAM_BINS) -> dict[str, list[float]]:
    """{edges: bins + 1 numbers, counts: bins numbers} over low..high."""
    counts, edges = np.histogram(np.asarray(values), bins=bins, range=(low, high))
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def per_category(uses: pa.Table) -> dict[str, Any]:
    """Sample uses, tokens and tiles of each category, from the columns `category`, `tokens` and `tiles`."""
    sums = uses.group_by("category", use_threads=False).aggregate(
        [("tokens", "sum"), ("tiles", "sum"), ([], "count_all")]
    )
    rows = sums.sort_by("category").to_pylist()
    return {
        row["category"]: {"uses": row["count_all"], "tokens": row["tokens_sum"], "tiles": row["tiles_sum"]}
        for row in rows
    }
