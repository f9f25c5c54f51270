"""K-means for the selection step against scikit-learn's MiniBatchKMeans on the same rows.

    python tests/benchmarks/bench_selection.py --rows 1000000 --clusters 1000 --json

Rows: a mixture of Gaussians on the sphere with twice as many groups as clusters, sizes by a power law, and a tenth
uniform noise. Inertia: squared distances to the means of the clusters found (not normalised), the same for both.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from data.curation.clustering import cluster


def made_rows(count: int, width: int, groups: int, seed: int) -> np.ndarray:
    """Unit vectors float32 [count, width], drawn block by block."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((groups, width)).astype(np.float32)
    shares = np.arange(1, groups + 1) ** -0.8
    rows = np.empty((count, width), np.float32)
    for start in range(0, count, 1 << 15):
        block = rows[start : start + (1 << 15)]
        block[:] = rng.standard_normal(block.shape, np.float32)
        own = centres[rng.choice(groups, len(block), p=shares / shares.sum())]
        block += own * (rng.random((len(block), 1)) > 0.1)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return rows


def inertia(rows: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Sum of squared distances to the clusters' means: for unit rows N - sum |s_c|^2 / n_c."""
    order, sizes = np.argsort(labels, kind="stable"), np.bincount(labels, minlength=k)
    ends, inside = np.cumsum(sizes), 0.0
    for end, size in zip(ends, sizes, strict=True):
        if size:
            total = rows[order[end - size : end]].sum(axis=0, dtype=np.float64)
            inside += float(total @ total) / size
    return len(rows) - inside


def main() -> None:
    """Print both times, the ratio of the inertias and the peak of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("rows", 1_000_000), ("width", 512), ("clusters", 1000), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = made_rows(given.rows, given.width, 2 * given.clusters, given.seed)
    start = time.perf_counter()
    ours = cluster(rows, given.clusters, given.seed, "faiss")
    seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    from sklearn.cluster import MiniBatchKMeans

    start = time.perf_counter()
    theirs = MiniBatchKMeans(given.clusters, random_state=given.seed).fit(rows)
    others = time.perf_counter() - start
    one, two = inertia(rows, ours.labels, given.clusters), inertia(rows, theirs.labels_, given.clusters)
    result = {
        "rows": given.rows,
        "width": given.width,
        "clusters": given.clusters,
        "seconds": round(seconds, 2),
        "minibatch_seconds": round(others, 2),
        "inertia": one,
        "minibatch_inertia": two,
        "inertia_ratio": round(one / two, 5),
        "peak_gib_with_rows": round(peak, 2),
    }
    print(json.dumps(result) if given.json else "\n".join(f"{key:20} {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
