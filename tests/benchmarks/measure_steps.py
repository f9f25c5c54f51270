"""Measures what pipelines/scale_steps.py holds: rows a CPU second and bytes of memory a row of each step.

    python tests/benchmarks/measure_steps.py

Every step runs in this process, on a local folder, with 500 and with 4000 samples of easy-VQA; what differs between
the two is the cost of a row, so start-up and imports are left out. Memory is traced in a second pair of runs, for
tracing slows the steps. CPU seconds of one thread (OMP_NUM_THREADS=1), so that a busy machine measures the same.
"""
# ruff: noqa: E402 (threads and paths are set first)

import hashlib
import io
import os
import sys
import tempfile
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "servers")]

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from counted_steps import CountedRun
from PIL import Image

from data.curation.similarity import pool_similarity
from data.expectations.checks import image_hashes
from data.schema import ImageRef, Sample
from model.recipe import load_recipe

SMALL, LARGE = 500, 4000


class TracedRun(CountedRun):
    """Also notes the peak of traced memory of each step, bytes."""

    peaks: dict[str, int]

    def step(self, name, component, **inputs):
        tracemalloc.start(1)
        before = tracemalloc.get_traced_memory()[0]
        result = super().step(name, component, **inputs)
        self.peaks = {**getattr(self, "peaks", {}), name: tracemalloc.get_traced_memory()[1] - before}
        tracemalloc.stop()
        return result


def run(samples: int, kind: type[CountedRun]) -> CountedRun:
    """A finished run of a two-source recipe with so many samples."""
    recipe = yaml.safe_load((ROOT / "pipelines/recipes/tiny.yaml").read_text())
    recipe["data"]["rows_per_shard"] = 128
    recipe["data"]["sources"] = [
        {"name": "easy-vqa", "max_samples": samples, "max_heldout": 50},
        {"name": "chatterbot", "max_samples": 100, "max_heldout": 10},
    ]
    recipe["stages"]["stage_1_5"]["epochs"] = 1
    with tempfile.TemporaryDirectory() as folder:
        uri = f"{folder}/recipe.yaml"
        Path(uri).write_text(yaml.safe_dump(recipe))
        found = kind(uri, load_recipe(uri).sha256, folder, "run", Path(folder) / "scratch")
        found.pack(found.curate(["easy-vqa", "chatterbot"]))
    return found


def per_row() -> None:
    """The two slopes of every step."""
    run(100, CountedRun)
    quick = [run(samples, CountedRun) for samples in (SMALL, LARGE)]
    traced = [run(samples, TracedRun) for samples in (SMALL, LARGE)]
    rows = LARGE - SMALL
    for name in quick[0].steps:
        seconds = quick[1].steps[name].cpu_seconds - quick[0].steps[name].cpu_seconds
        memory = (traced[1].peaks[name] - traced[0].peaks[name]) / rows
        print(f"{name:22} {rows / max(seconds, 1e-3):10,.0f} rows/s {memory:10,.0f} bytes/row")


def seconds_of(work, repeats: int, clock=time.process_time) -> float:
    """The fastest of some repeats, in CPU seconds or by another clock."""
    times = []
    for _ in range(repeats):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)


def photo(chance: np.random.Generator) -> bytes:
    """A JPEG of 1024 x 768 with soft shapes and noise, about 130 kB."""
    soft = Image.fromarray(chance.integers(0, 255, (48, 64, 3), dtype=np.uint8)).resize((1024, 768), Image.BICUBIC)
    noisy = np.asarray(soft).astype(np.int16) + chance.integers(-6, 6, (768, 1024, 3))
    sink = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(sink, "JPEG", quality=80)
    return sink.getvalue()


def parts() -> None:
    """What the steps share: decoding, pairs of vectors, Parquet."""
    chance = np.random.default_rng(0)
    payload = photo(chance)
    image = ImageRef(bytes=payload, path="photo.jpg", width=1024, height=768)
    sample = Sample(sample_id="a", source="a", category="general_vqa", images=(image,), conversations=())
    print(
        f"decode and hash a JPEG of {len(payload):,} bytes: {seconds_of(lambda: image_hashes(sample), 20) * 1e3:.1f} ms"
    )
    one, cores = seconds_of(lambda: [image_hashes(sample) for _ in range(64)], 3), os.cpu_count()
    with ThreadPoolExecutor(cores) as threads:
        both = seconds_of(lambda: list(threads.map(image_hashes, [sample] * 64)), 3, time.perf_counter)
    print(f"the same in {cores} threads: {one / both:.2f} times as fast")
    new, pool = [
        [chance.standard_normal((rows, width)).astype(np.float32) for width in (1280, 384)] for rows in (1024, 16384)
    ]
    print(f"pairs: {1024 * 16384 / seconds_of(lambda: pool_similarity(*new, *pool), 3):,.0f} /s")
    table = pa.table({"image": [chance.bytes(len(payload)) for _ in range(400)]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=256)
    stored = sink.getvalue()

    def write() -> None:
        made = pa.BufferOutputStream()
        pq.write_table(table, made, compression="zstd", row_group_size=256)
        hashlib.sha256(made.getvalue()).hexdigest()

    def read() -> None:
        hashlib.sha256(stored).hexdigest()
        pq.read_table(pa.BufferReader(stored), use_threads=False).to_pylist()

    for name, work in (("write", write), ("read", read)):
        print(f"{name} Parquet and hash it: {stored.size / seconds_of(work, 3) / 1e6:,.0f} MB/s")


if __name__ == "__main__":
    parts()
    per_row()
