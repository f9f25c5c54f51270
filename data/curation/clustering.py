"""K-means over embedding vectors, and the balanced draw from its clusters (paper section 2.2: data selection)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module

import numpy as np

from data.curation.clustering_cpu import assign, best_start, lloyd_centroids
from data.curation.row_views import Float32Rows
from data.errors import AerieError

SMALL_ROWS = 20_000  # above it one start is near enough the best, and five cost minutes
FLASH_ITERATIONS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """labels: int64 [N], each row's cluster; similarity: float32 [N], cosine to its own centroid; k: clusters."""

    labels: np.ndarray
    similarity: np.ndarray
    k: int
    backend: str = "faiss"


def cluster(vectors: np.ndarray | Float32Rows, k: int, seed: int, backend: str = "auto") -> Clusters:
    """Spherical K-means of unit vectors [N, D], float16 or float32, memory-mapped or not; at most N clusters.

    Deterministic by seed for each backend; "auto" takes the GPU's (flash) where it is. `AerieError` when flash is
    asked for and can't run.
    """
    view = vectors if isinstance(vectors, Float32Rows) else Float32Rows.whole(vectors)
    chosen = choose_backend(backend)
    if chosen == "faiss":
        return faiss_cluster(view, k, seed)
    from data.curation.clustering_gpu import flash_cluster

    found: Clusters = flash_cluster(view, k, seed, FLASH_ITERATIONS)
    return replace(found, backend="flash")


def choose_backend(wanted: str) -> str:
    """`faiss` or `flash`."""
    if wanted == "faiss":
        return wanted
    try:
        available = import_module("data.curation.clustering_gpu").gpu_kmeans_available()
    except ImportError:
        available = False
    if wanted == "flash" and not available:
        raise AerieError(
            "data.selection.kmeans_backend is flash, which needs a CUDA device and the package flash-kmeans; "
            "take `auto` or `faiss`"
        )
    return "flash" if available else "faiss"


def faiss_cluster(view: Float32Rows, k: int, seed: int) -> Clusters:
    """K-means on the CPU: few rows by faiss alone, the best of five starts; many rows by `lloyd_centroids`.

    The number of threads changes no bit: each thread assigns blocks of a fixed size, alone, and sums have one order.
    """
    k = min(k, len(view))
    centroids = best_start(view[:], k, seed) if len(view) <= SMALL_ROWS else lloyd_centroids(view, k, seed)
    labels, similarity = assign(view, centroids)
    return Clusters(labels=labels, similarity=similarity, k=k)


def balanced_quotas(sizes: Sequence[int], quota: int) -> list[int]:
    """How many to draw from each cluster so that `quota` is spread as evenly as the sizes allow.

    Water filling: a cluster smaller than the equal share gives all it has, and the others share what is left. The
    last odd ones go to the largest clusters, on a tie to the first.
    """
    taken = [0] * len(sizes)
    left, waiting = min(quota, sum(sizes)), sorted(range(len(sizes)), key=lambda index: (sizes[index], -index))
    while waiting:
        index = waiting.pop(0)
        taken[index] = min(sizes[index], left // (len(waiting) + 1))
        left -= taken[index]
    return taken
