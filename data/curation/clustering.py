"""K-means over embedding vectors, and the balanced draw from its clusters (paper section 2.2: data selection)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ITERATIONS, RESTARTS = 20, 5  # the best of five starts: one alone often splits a large group and joins two small ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """labels: int64 [N], each row's cluster; similarity: float32 [N], cosine to its own centroid; k: clusters."""

    labels: np.ndarray
    similarity: np.ndarray
    k: int


def cluster(vectors: np.ndarray, k: int, seed: int) -> Clusters:
    """Spherical K-means of unit vectors float32 [N, D]; at most N clusters. Deterministic: one thread, one seed."""
    import faiss

    k = min(k, len(vectors))
    vectors = np.ascontiguousarray(vectors, np.float32)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # the order of float sums must not depend on the machine
    try:
        means = faiss.Kmeans(
            vectors.shape[1],
            k,
            niter=ITERATIONS,
            nredo=RESTARTS,
            seed=seed % (1 << 31),
            spherical=True,
            min_points_per_centroid=1,
            max_points_per_centroid=len(vectors),
        )
        means.train(vectors)
        similarity, labels = means.index.search(vectors, 1)
    finally:
        faiss.omp_set_num_threads(threads)
    return Clusters(labels=labels[:, 0], similarity=similarity[:, 0], k=k)


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
