"""Spherical K-means on all cores of a CPU, the same bits for any number of threads.

A product of matrices that a BLAS library splits over threads differs in the last bits from one that it doesn't. So
each thread works alone on whole blocks of a fixed size, and the rows of a cluster are summed one after the other.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from data.cores import usable_cores
from data.curation.row_views import Float32Rows

ITERATIONS, RESTARTS = 20, 5  # the best of five starts: one alone often splits a large group and joins two small ones
# Sampled rows a cluster, and rounds with so many: early rounds move centroids far and need few rows to know where.
SCHEDULE = ((32, 3), (64, 2), (128, 2))
ASSIGN_ROWS = 8192


def best_start(vectors: np.ndarray, k: int, seed: int) -> np.ndarray:
    """float32 [k, D] by faiss on one thread; for few rows [N, D]."""
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
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
        means.train(np.ascontiguousarray(vectors))
    finally:
        faiss.omp_set_num_threads(threads)
    return np.asarray(means.centroids)


def lloyd_centroids(view: Float32Rows, k: int, seed: int) -> np.ndarray:
    """float32 [k, D] of length 1: Lloyd's rounds on a seeded sample of the rows that grows by `SCHEDULE`."""
    largest = min(len(view), SCHEDULE[-1][0] * k)
    sample = view[np.random.default_rng(seed).choice(len(view), largest, replace=False)]  # in random order
    centroids = sample[:k].copy()
    for rows_per_cluster, rounds in SCHEDULE:
        rows = sample[: rows_per_cluster * k]
        for _ in range(rounds):
            labels, similarity = assign(Float32Rows.whole(rows), centroids)
            centroids = _means(rows, labels, similarity, k)
    return centroids


def assign(view: Float32Rows, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row the nearest centroid, int64 [N], and the cosine to it, float32 [N]; blocks in as many threads as
    there are cores.
    """
    import faiss

    index = faiss.IndexFlatIP(centroids.shape[1])
    index.add(np.ascontiguousarray(centroids))
    labels, similarity = np.empty(len(view), np.int64), np.empty(len(view), np.float32)

    def one(start: int) -> None:
        part = slice(start, min(start + ASSIGN_ROWS, len(view)))
        near, found = index.search(view[part], 1)
        labels[part], similarity[part] = found[:, 0], near[:, 0]

    # OpenMP counts threads per calling thread: one inside each worker, whatever the caller's setting.
    with ThreadPoolExecutor(usable_cores(), initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        list(pool.map(one, range(0, len(view), ASSIGN_ROWS)))
    return labels, similarity


def _means(rows: np.ndarray, labels: np.ndarray, similarity: np.ndarray, k: int) -> np.ndarray:
    """The clusters' mean directions; an empty cluster starts again at one of the rows that fit theirs worst."""
    from scipy.sparse import csr_array

    members = csr_array((np.ones(len(rows), np.float32), (labels, np.arange(len(rows)))), shape=(k, len(rows)))
    sums: np.ndarray = members @ rows
    empty = np.flatnonzero(np.bincount(labels, minlength=k) == 0)
    sums[empty] = rows[np.argsort(similarity, kind="stable")[: len(empty)]]
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(sums / np.maximum(length, 1e-12), np.float32)
