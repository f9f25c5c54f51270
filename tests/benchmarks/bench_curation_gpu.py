"""The curation kernels on one GPU: Eq. 1, K-means and embedding, each beside a baseline in the same run.

    python tests/benchmarks/bench_curation_gpu.py [--part gate|kmeans|quality|embedding] [--json]

Made for an H100 or H200. Rates count the floating-point operations of the products alone. Inputs are random unit
vectors (never zeros, on which a GPU runs faster than on data) and, for K-means, clusters of very unequal sizes.
"""
# ruff: noqa: E402 (the path is set first)

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]

import numpy as np
import torch

NEW, POOL, IMAGE_WIDTH, TEXT_WIDTH = 16_384, 1 << 20, 512, 768
REFERENCE_ROWS = 256
KMEANS_ROWS, KMEANS_CLUSTERS = 1 << 22, 10_000


def seconds(work: Callable[[], Any], repeats: int = 5) -> float:
    """Median device time of one call, after two that warm up."""
    for _ in range(2):
        work()
    taken = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        taken.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(taken)


def unit(rows: int, width: int, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    """Random unit vectors [rows, width] on the device."""
    vectors = torch.randn(rows, width, device="cuda", generator=generator)
    return torch.nn.functional.normalize(vectors, dim=1).to(dtype)


def naive_gate(new: tuple[torch.Tensor, ...], pool: tuple[torch.Tensor, ...], chunk: int = 32_768) -> torch.Tensor:
    """The plain way: both products of a chunk in memory, then the row maxima."""
    best = torch.full((len(new[0]),), -2.0, device="cuda")
    for at in range(0, len(pool[0]), chunk):
        product = (new[0] @ pool[0][at : at + chunk].T) * (new[1] @ pool[1][at : at + chunk].T)
        best = torch.maximum(best, product.amax(1).float())
    return best


def exact_gate(new: tuple[torch.Tensor, ...], pool: tuple[torch.Tensor, ...], rows: int) -> torch.Tensor:
    """float64 [rows]: the reference."""
    best = torch.full((rows,), -2.0, device="cuda", dtype=torch.float64)
    images, texts = new[0][:rows].double(), new[1][:rows].double()
    for at in range(0, len(pool[0]), 65_536):
        product = (images @ pool[0][at : at + 65_536].double().T) * (texts @ pool[1][at : at + 65_536].double().T)
        best = torch.maximum(best, product.amax(1))
    return best


def gate() -> dict[str, Any]:
    """The fused kernel against naive torch, torch.compile and a large matrix product; errors against float64."""
    from data.curation.similarity_gpu import launch

    figures: dict[str, Any] = {"new": NEW, "pool": POOL, "widths": [IMAGE_WIDTH, TEXT_WIDTH]}
    work = 2 * NEW * POOL * (IMAGE_WIDTH + TEXT_WIDTH) / 1e12
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        dice = torch.Generator("cuda").manual_seed(0)
        new = (unit(NEW, IMAGE_WIDTH, dtype, dice), unit(NEW, TEXT_WIDTH, dtype, dice))
        pool = (unit(POOL, IMAGE_WIDTH, dtype, dice), unit(POOL, TEXT_WIDTH, dtype, dice))
        keys = torch.full((NEW,), torch.iinfo(torch.int64).min, device="cuda")
        square = unit(8192, 8192, dtype, dice)
        fused = seconds(lambda new=new, pool=pool, keys=keys: launch(*new, *pool, keys, 0))
        naive = seconds(lambda new=new, pool=pool: naive_gate(new, pool))
        compiled = torch.compile(naive_gate)
        joined = seconds(lambda new=new, pool=pool, compiled=compiled: compiled(new, pool))
        ceiling = seconds(lambda square=square: square @ square)
        row = 0x7FFFFFFF - (keys[:REFERENCE_ROWS] & 0xFFFFFFFF)
        found = [
            (one[:REFERENCE_ROWS].double() * other[row].double()).sum(1) for one, other in zip(new, pool, strict=True)
        ]
        error = (found[0] * found[1] - exact_gate(new, pool, REFERENCE_ROWS)).abs().max().item()
        figures[name] = {
            "fused_tflops": work / fused,
            "naive_tflops": work / naive,
            "compiled_tflops": work / joined,
            "matmul_tflops": 2 * 8192**3 / 1e12 / ceiling,
            "against_naive": naive / fused,
            "max_error_of_256_rows": error,
        }
    figures["streamed"] = _streamed_gate()
    return figures


def _streamed_gate() -> dict[str, Any]:
    """The library call on memory-mapped fp16 files: page cache to neighbours, ragged sizes."""
    from data.curation.similarity_gpu import pool_similarity_gpu

    dice = np.random.default_rng(0)
    new_rows, pool_rows = 8 * NEW - 37, POOL + 101
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, rows, width in (
            ("images", new_rows, IMAGE_WIDTH),
            ("texts", new_rows, TEXT_WIDTH),
            ("pool_images", pool_rows, IMAGE_WIDTH),
            ("pool_texts", pool_rows, TEXT_WIDTH),
        ):
            vectors = dice.standard_normal((rows, width), np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            np.save(Path(folder, f"{name}.npy"), vectors.astype(np.float16))
            files[name] = np.load(Path(folder, f"{name}.npy"), mmap_mode="r")
        pool_similarity_gpu(*files.values())
        begin = time.perf_counter()
        pool_similarity_gpu(*files.values())
        taken = time.perf_counter() - begin
    work = 2 * new_rows * pool_rows * (IMAGE_WIDTH + TEXT_WIDTH) / 1e12
    return {"new": new_rows, "pool": pool_rows, "seconds": taken, "tflops_end_to_end": work / taken}


def clustered(rows: int, width: int, groups: int, seed: int) -> np.ndarray:
    """float16 [rows, width] of length 1: groups whose sizes follow a power law, and a tenth of noise."""
    dice = torch.Generator("cuda").manual_seed(seed)
    centres = torch.randn(groups, width, device="cuda", generator=dice)
    share = 1.0 / torch.arange(1, groups + 1, device="cuda").float()
    parts = []
    for at in range(0, rows, 1 << 18):
        count = min(1 << 18, rows - at)
        own = torch.multinomial(share, count, replacement=True, generator=dice)
        spread = torch.randn(count, width, device="cuda", generator=dice)
        noise = torch.rand(count, 1, device="cuda", generator=dice) < 0.1
        vectors = torch.where(noise, spread, centres[own] + 0.7 * spread)
        parts.append(torch.nn.functional.normalize(vectors, dim=1).half().cpu().numpy())
    return np.concatenate(parts)


def naive_iteration(rows: torch.Tensor, centroids: torch.Tensor, chunk: int = 131_072) -> torch.Tensor:
    """The plain way: the squared distances of a chunk in memory, their argmin, sums by `index_add_`."""
    lengths = (centroids.float() ** 2).sum(1)
    sums = torch.zeros(centroids.shape, device="cuda")
    counts = torch.zeros(len(centroids), device="cuda")
    for at in range(0, len(rows), chunk):
        part = rows[at : at + chunk]
        own = (lengths - 2 * (part @ centroids.T).float()).argmin(1)
        sums.index_add_(0, own, part.float())
        counts += torch.bincount(own, minlength=len(centroids))
    return (sums / counts.clamp(min=1)[:, None]).half()


def kmeans() -> dict[str, Any]:
    """An iteration's time against naive torch, and whether equal seeds give equal bits."""
    from data.curation.clustering_gpu import flash_cluster

    vectors = clustered(KMEANS_ROWS, IMAGE_WIDTH, 3 * KMEANS_CLUSTERS, seed=1)
    found = flash_cluster(vectors, KMEANS_CLUSTERS, 0, 11)  # also compiles

    def taken(iterations: int) -> float:
        begin = time.perf_counter()
        flash_cluster(vectors, KMEANS_CLUSTERS, 0, iterations)
        return time.perf_counter() - begin

    again = flash_cluster(vectors, KMEANS_CLUSTERS, 0, 11)
    each = (min(taken(11) for _ in range(3)) - min(taken(1) for _ in range(3))) / 10  # less upload and last pass
    rows = torch.from_numpy(vectors).cuda()
    centroids = rows[:KMEANS_CLUSTERS].clone()
    naive = seconds(lambda rows=rows, centroids=centroids: naive_iteration(rows, centroids), 3)
    return {
        "rows": KMEANS_ROWS,
        "clusters": KMEANS_CLUSTERS,
        "seconds_an_iteration": each,
        "tflops": 2 * KMEANS_ROWS * KMEANS_CLUSTERS * IMAGE_WIDTH / each / 1e12,
        "naive_seconds_an_iteration": naive,
        "against_naive": naive / each,
        "equal_bits_in_two_runs": bool(
            (found.labels == again.labels).all() and (found.similarity == again.similarity).all()
        ),
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
    }


def quality(clusters: int = 1000, iterations: int = 20) -> dict[str, Any]:
    """Mean squared distance to the own centroid, 2 - 2 cos, after equally many iterations on a million rows.

    faiss takes minutes on the processor.
    """
    import faiss

    from data.curation.clustering_gpu import flash_cluster

    vectors = clustered(1 << 20, IMAGE_WIDTH, 3 * clusters, seed=1)
    begin = time.perf_counter()
    ours = flash_cluster(vectors, clusters, 0, iterations)
    ours_seconds = time.perf_counter() - begin
    means = faiss.Kmeans(
        vectors.shape[1], clusters, niter=iterations, seed=0, spherical=True, max_points_per_centroid=len(vectors)
    )
    plain = vectors.astype(np.float32)
    begin = time.perf_counter()
    means.train(plain)
    similarity, _ = means.index.search(plain, 1)
    return {
        "rows": len(vectors),
        "clusters": clusters,
        "seconds": ours_seconds,
        "faiss_cpu_seconds": time.perf_counter() - begin,
        "objective": float(2 - 2 * ours.similarity.mean(dtype=np.float64)),
        "faiss_objective": float(2 - 2 * similarity.mean(dtype=np.float64)),
    }


def embedding() -> dict[str, Any]:
    """See gpu_embedding.py."""
    from gpu_embedding import embedding_figures

    return embedding_figures()


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "gate": gate,
    "kmeans": kmeans,
    "quality": quality,
    "embedding": embedding,
}


def main() -> None:
    """Print each part's figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append", help="one part only (may be given again)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("This benchmark needs a GPU (H100 or H200); torch sees none here.")
    report: dict[str, Any] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    for part in given.part or PARTS:
        begin = time.perf_counter()
        report[part] = PARTS[part]()
        print(f"{part}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    if given.json:
        print(json.dumps(report, indent=1))
        return
    for name, figures in report.items():
        print(f"{name}: {json.dumps(figures, indent=2) if isinstance(figures, dict) else figures}")


if __name__ == "__main__":
    main()
