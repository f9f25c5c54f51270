"""How good a packing is: five metrics and two histograms, as plain numbers for JSON."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

HISTOGRAM_BINS = 20


def packing_metrics(
    packs: Sequence[Sequence[int]], lengths: Sequence[int], tiles: Sequence[int], capacity: int
) -> dict[str, float]:
    """Five metrics of a plan.

    - `packs`: how many; a step's time is a pack's time, so fewer is faster.
    - `fill`: mean share of the capacity that holds tokens.
    - `token_cv`: standard deviation of the packs' tokens over their mean: idle ranks in a step.
    - `attention_imbalance`: the largest pack's attention work (sum of squared lengths) over the mean pack's: 1 is even.
    - `tile_imbalance`: the largest pack's tiles over the mean pack's (vision towers' work): 1 is even; 0 without tiles.
    """
    if not packs:
        return {"packs": 0, "fill": 0.0, "token_cv": 0.0, "attention_imbalance": 0.0, "tile_imbalance": 0.0}
    length, count = np.asarray(lengths, dtype=np.float64), np.asarray(tiles, dtype=np.float64)
    tokens = np.array([length[pack].sum() for pack in packs])
    attention = np.array([np.square(length[pack]).sum() for pack in packs])
    pack_tiles = np.array([count[pack].sum() for pack in packs])
    return {
        "packs": len(packs),
        "fill": float(tokens.mean() / capacity),
        "token_cv": float(tokens.std() / tokens.mean()),
        "attention_imbalance": float(attention.max() / attention.mean()),
        "tile_imbalance": float(pack_tiles.max() / pack_tiles.mean()) if pack_tiles.any() else 0.0,
    }


def histogram(values: Sequence[float], low: float, high: float, bins: int = HISTOGRAM_BINS) -> dict[str, list[float]]:
    """{edges: bins + 1 numbers, counts: bins numbers} over low..high."""
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def per_category(categories: Sequence[str], lengths: Sequence[int], tiles: Sequence[int]) -> dict[str, Any]:
    """Sample uses, tokens and tiles of each category."""
    totals: defaultdict[str, dict[str, int]] = defaultdict(lambda: {"uses": 0, "tokens": 0, "tiles": 0})
    for category, length, count in zip(categories, lengths, tiles, strict=True):
        totals[category]["uses"] += 1
        totals[category]["tokens"] += int(length)
        totals[category]["tiles"] += int(count)
    return dict(sorted(totals.items()))
