"""Spherical K-means on one GPU: flash-kmeans assigns rows to centroids, a kernel of our own sums them in fixed order.

flash-kmeans never writes the N x K distances. Its own update adds with atomics, whose order changes from run to run;
here the rows of a cluster are summed one after the other, so that equal seeds give equal clusters, bit for bit.
"""

from typing import Any

import numpy as np

from data.curation.clustering import Clusters
from data.curation.row_views import Float32Rows, Vectors
from data.kernel_compiler import need_kernel_compiler

UPLOAD_ROWS = 1 << 18
INSTALL = "install the extra `gpu` (flash-kmeans), or choose the faiss backend"


def gpu_kmeans_available() -> bool:
    """Whether a CUDA device and the package flash-kmeans are here."""
    try:
        import flash_kmeans  # noqa: F401
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def flash_cluster(vectors: Vectors | Float32Rows, k: int, seed: int, iterations: int) -> Clusters:
    """Spherical K-means of unit vectors [N, D], float16 or float32, memory-mapped or not; at most N clusters.

    The vectors lie on the device as fp16 (22 million of width 512: 22.5 GB). Seeded: the first centroids are distinct
    random rows. A cluster that runs empty keeps its centroid.
    """
    import torch
    from flash_kmeans.assign_euclid_triton import euclid_assign_triton

    need_kernel_compiler("K-means on a GPU")
    k = min(k, len(vectors))
    rows = _uploaded(vectors)
    start = np.sort(np.random.default_rng(seed).choice(len(vectors), k, replace=False))
    centroids = rows[torch.from_numpy(start).cuda()]
    lengths = torch.ones((1, len(rows)), dtype=rows.dtype, device="cuda")
    for iteration in range(iterations + 1):
        labels = euclid_assign_triton(rows[None], centroids[None], lengths)[0]
        if iteration < iterations:  # the last round only assigns: labels belong to the centroids that are returned
            centroids = _means(rows, labels, centroids)
    similarity = np.concatenate(
        [
            (part.float() * centroids[own.long()].float()).sum(1).cpu().numpy()
            for part, own in zip(rows.split(UPLOAD_ROWS), labels.split(UPLOAD_ROWS), strict=True)
        ]
    )
    return Clusters(labels=labels.cpu().numpy().astype(np.int64), similarity=similarity, k=k)


def _uploaded(vectors: Vectors | Float32Rows) -> Any:
    """fp16 [N, D] on the device; the host holds one block of a memory-mapped file at a time."""
    import torch

    rows = torch.empty(vectors.shape, dtype=torch.float16, device="cuda")
    for at in range(0, len(vectors), UPLOAD_ROWS):
        block = np.ascontiguousarray(vectors[at : at + UPLOAD_ROWS])
        rows[at : at + len(block)] = torch.from_numpy(block).cuda()
    return rows


def _means(rows: Any, labels: Any, centroids: Any) -> Any:
    """fp16 [K, D] of length 1: the means of the clusters; an empty one keeps its centroid."""
    import torch

    from data.curation.clustering_kernel import cluster_sums

    ordered, order = torch.sort(labels, stable=True)
    bounds = torch.searchsorted(ordered, torch.arange(len(centroids) + 1, device="cuda", dtype=ordered.dtype))
    sums = cluster_sums(rows, order, bounds)
    length = sums.norm(dim=1, keepdim=True)
    return torch.where(length > 0, sums / length.clamp(min=1e-12), centroids.float()).half()
