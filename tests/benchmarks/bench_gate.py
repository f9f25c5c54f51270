"""The similarity gate on a CPU: seconds, rate, memory and error against the plain form and float64.

    python tests/benchmarks/bench_gate.py                         10,000 new rows against a pool of 200,000
    python tests/benchmarks/bench_gate.py --json --rows 2000 --pool 20000 --dtype float16

Vectors are 512-d images and 768-d texts, written to .npy files and memory-mapped. The baseline is the same equation in
blocks of plain numpy with numpy's own threads, on the first `--baseline-rows` rows. The reference is float64, on the
first `--exact-rows` rows against the whole pool. Memory is the whole process's while it compares, mapped pages of the
files left out.
"""
# ruff: noqa: E402 (the path is set first)

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np

from data.cores import usable_cores
from data.curation.similarity import Similarity, pool_similarity


def unit_file(path: Path, rows: int, width: int, dtype: str, seed: int) -> np.ndarray:
    """Random unit vectors in a few hundred directions, memory-mapped: neighbours are near, not orthogonal noise."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(width).standard_normal((300, width), dtype=np.float32)
    vectors = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), (rows, width))
    for at in range(0, rows, 8192):
        count = min(8192, rows - at)
        block = centres[rng.integers(0, 300, count)] + rng.standard_normal((count, width), dtype=np.float32)
        vectors[at : at + count] = block / np.linalg.norm(block, axis=1, keepdims=True)
    vectors.flush()
    return np.load(path, mmap_mode="r")


def plain(images: np.ndarray, texts: np.ndarray, pool_images: np.ndarray, pool_texts: np.ndarray) -> np.ndarray:
    """The baseline: each block's products with numpy's own threads, then argmax."""
    best = np.full(len(texts), -np.inf, np.float32)
    for at in range(0, len(texts), 512):
        rows = slice(at, at + 512)
        new_images, new_texts = images[rows].astype(np.float32), texts[rows].astype(np.float32)
        for start in range(0, len(pool_texts), 4096):
            pool = slice(start, start + 4096)
            product = np.minimum(new_texts @ pool_texts[pool].astype(np.float32).T, np.float32(1))
            product *= np.minimum(new_images @ pool_images[pool].astype(np.float32).T, np.float32(1))
            column = product.argmax(axis=1)
            best[rows] = np.maximum(best[rows], product[np.arange(len(column)), column])
    return best


def exact(images: np.ndarray, texts: np.ndarray, pool_images: np.ndarray, pool_texts: np.ndarray) -> np.ndarray:
    """float64 [N, M] products."""
    one, other = ([part.astype(np.float64) for part in pair] for pair in ((images, texts), (pool_images, pool_texts)))
    return (one[0] @ other[0].T) * (one[1] @ other[1].T)


class AnonymousPeak:
    """The highest RssAnon of this process, bytes, while it is open; looked at fifty times a second."""

    def __enter__(self) -> "AnonymousPeak":
        self.peak = self._now()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now() -> int:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(lines["RssAnon"].split()[0]) * 1024


def timed(work, *args) -> tuple[float, object]:
    start = time.perf_counter()
    result = work(*args)
    return time.perf_counter() - start, result


def measured(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """All figures of one size."""
    sizes = [(options.rows, options.image_width), (options.rows, options.text_width)]
    sizes += [(options.pool, options.image_width), (options.pool, options.text_width)]
    vectors = [unit_file(folder / f"{n}.npy", *size, options.dtype, n) for n, size in enumerate(sizes)]
    images, texts, pool_images, pool_texts = vectors
    pool_similarity(images[:64], texts[:64], pool_images[:4096], pool_texts[:4096])  # libraries are loaded
    with AnonymousPeak() as memory:
        seconds, found = timed(pool_similarity, *vectors)
    assert isinstance(found, Similarity)
    few = slice(0, min(options.exact_rows, options.rows))
    products = exact(images[few], texts[few], pool_images, pool_texts)
    some = slice(0, min(options.baseline_rows, options.rows))
    plain(images[:64], texts[:64], pool_images[:4096], pool_texts[:4096])
    baseline_seconds, baseline = timed(plain, images[some], texts[some], pool_images, pool_texts)
    per_row = 2 * options.pool * (options.image_width + options.text_width)
    rate, baseline_rate = options.rows * per_row / seconds, len(baseline) * per_row / baseline_seconds
    return {
        "rows": options.rows,
        "pool": options.pool,
        "widths": [options.image_width, options.text_width],
        "dtype": options.dtype,
        "cores": usable_cores(),
        "seconds": round(seconds, 2),
        "gflop_per_second": round(rate / 1e9, 1),
        "baseline_gflop_per_second": round(baseline_rate / 1e9, 1),
        "times_baseline": round(rate / baseline_rate, 2),
        "peak_memory_mib": round(memory.peak / 2**20),
        "product_matrix_mib": round(options.rows * options.pool * 4 / 2**20),
        "max_error_to_float64": float(np.abs(products.max(axis=1) - found.best[few]).max()),
        "nearest_loses_at_most": float(
            (products.max(axis=1) - products[np.arange(len(products)), found.nearest[few]]).max()
        ),
        "max_difference_to_baseline": float(np.abs(baseline - found.best[some]).max()),
        "score": found.score,
    }


def main() -> None:
    """Prints the figures, as lines or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--pool", type=int, default=200_000)
    parser.add_argument("--image-width", type=int, default=512)
    parser.add_argument("--text-width", type=int, default=768)
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32")
    parser.add_argument("--baseline-rows", type=int, default=1024)
    parser.add_argument("--exact-rows", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(options, Path(folder))
    print(json.dumps(figures) if options.json else "\n".join(f"{name:28} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
