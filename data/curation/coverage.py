"""How well a draw covers its population, beside a random draw of the same size."""

from typing import Any

import numpy as np

from data.curation.row_views import Float32Rows
from data.curation.seeded_order import first_by_rank

PROBES = 2048


def coverage(
    vectors: Float32Rows, chosen: np.ndarray, probe_ranks: np.ndarray, random_ranks: np.ndarray
) -> dict[str, Any]:
    """Distances (1 - cosine) from seeded probes of the whole population [N, D] to the nearest chosen row.

    The radius is the random draw's median, so that half of the population lies within it there.
    """
    everything = np.arange(len(vectors))
    probes = vectors[np.sort(first_by_rank(everything, probe_ranks, PROBES))]
    ours = _nearest(probes, vectors, chosen)
    other = _nearest(probes, vectors, np.sort(first_by_rank(everything, random_ranks, len(chosen))))
    radius = float(np.median(other))
    return {
        "radius": round(radius, 6),
        "draw": _summary(ours, radius),
        "random": _summary(other, radius),
    }


def _summary(distances: np.ndarray, radius: float) -> dict[str, float]:
    return {
        "mean_distance": round(float(distances.mean(dtype=np.float64)), 6),
        "tail_distance": round(float(np.quantile(distances, 0.95)), 6),  # 95 % lie nearer
        "within_radius": round(float((distances <= radius).mean()), 6),
    }


def _nearest(probes: np.ndarray, vectors: Float32Rows, chosen: np.ndarray) -> np.ndarray:
    best = np.full(len(probes), -1, np.float32)
    for _, block in Float32Rows(vectors.matrix, vectors.rows[chosen]).blocks(8192):
        np.maximum(best, (probes @ block.T).max(axis=1), out=best)
    return np.maximum(0, 1 - best)
