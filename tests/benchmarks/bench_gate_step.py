"""The whole gate step on made vectors: seconds, rows a second and the memory of its own.

    python tests/benchmarks/bench_gate_step.py                    40,000 rows of 8 sources, 1,000 held out
    python tests/benchmarks/bench_gate_step.py --json --rows 100000

Every row asks one of a few questions and gives one of a few answers, so that groups of equal answers are large, as in
real sources; one row in a hundred is a near copy of an earlier one, one in five hundred of a held-out row. Vectors are
512-d (images) and 768-d (texts). Memory is RssAnon, which leaves the mapped vectors out.
"""
# ruff: noqa: E402 (the path is set first)

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]

import numpy as np
import yaml
from bench_gate import AnonymousPeak

from data.cores import usable_cores
from data.curation.embedding_benchmarks import FOLDER, HELDOUT
from data.curation.gate import gate_sources
from data.curation.vectors import Embeddings, embedding_schema, embedding_table
from data.registry.sourcing import parquet_bytes
from data.schema import Turn, make_sample, samples_to_table
from data.storage import Manifest, ShardWriter, attach, commit, write_samples

WIDTHS, CATEGORIES = (512, 768), ("science", "mathematics")


def vectors(rng: np.random.Generator, rows: int, width: int, centres: int) -> np.ndarray:
    found = np.random.default_rng(width).standard_normal((centres, width), dtype=np.float32)
    found = found[rng.integers(0, centres, rows)] + rng.standard_normal((rows, width), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def samples_of(source: str, category: str, count: int, start: int) -> list:
    return [
        make_sample(
            source=source,
            category=category,
            images=(),
            conversations=(
                Turn(role="user", content=f"question {row % 50}"),
                Turn(role="assistant", content=f"answer {row % 7}"),
            ),
            meta={"row": start + row},
        )
        for row in range(count)
    ]


def embedded(samples: list, names: list[str], images: np.ndarray, texts: np.ndarray, folder: str, **more) -> Manifest:
    """A committed table of vectors."""
    made = Embeddings(
        sample_ids=[sample.sample_id for sample in samples],
        sources=names,
        categories=[sample.category for sample in samples],
        pictures=[sample.sample_id for sample in samples],
        images=images,
        texts=texts,
    )
    writer = ShardWriter(folder, embedding_schema(*WIDTHS))
    writer.write_table(embedding_table(made))
    manifest = Manifest(
        step="embedding", fingerprint="e", recipe_sha256="", rows=len(samples), shards=writer.close(), **more
    )
    return commit(folder, manifest)


def make_run(folder: Path, rows: int, sources: int, heldout: int) -> tuple[str, str, str]:
    """A recipe, a validation step and an embedding step."""
    rng, each = np.random.default_rng(0), rows // sources
    names = [f"source-{number}" for number in range(sources)]
    samples = [
        sample
        for number, name in enumerate(names)
        for sample in samples_of(name, CATEGORIES[number % len(CATEGORIES)], each, number * each)
    ]
    samples = [replace(sample, sample_id=f"{row:032x}") for row, sample in enumerate(samples)]
    held = [replace(s, sample_id=f"held-{n:027x}") for n, s in enumerate(samples_of(HELDOUT, "science", heldout, 0))]
    images, texts = (vectors(rng, len(samples), width, 400) for width in WIDTHS)
    held_images, held_texts = (vectors(rng, heldout, width, 400) for width in WIDTHS)
    for row in range(7 * 50, len(samples), 100):  # a row 350 before has the same question and answer
        images[row], texts[row] = images[row - 350], texts[row - 350]
    for row in range(0, len(samples), 500):
        images[row], texts[row] = held_images[row % heldout], held_texts[row % heldout]
    validation, embedding = str(folder / "validation"), str(folder / "embedding")
    kept = attach(validation, "heldout.parquet", parquet_bytes(samples_to_table(held)))
    manifest = Manifest(
        step="validation",
        fingerprint="v",
        recipe_sha256="",
        rows=len(samples),
        shards=write_samples(validation, samples),
        attachments={HELDOUT: kept},
    )
    commit(validation, manifest)
    table = embedded(
        held, [HELDOUT] * heldout, held_images, held_texts, f"{embedding}/{FOLDER}", lineage={HELDOUT: kept["sha256"]}
    )
    entry = {FOLDER: {"path": f"{FOLDER}/manifest.json", "sha256": table.sha256()}}
    embedded(samples, [s.source for s in samples], images, texts, embedding, attachments=entry)
    recipe = {"name": "bench", "seed": 1, "data": {"sources": [{"name": name} for name in names]}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return str(folder / "recipe.yaml"), validation, embedding


def main() -> None:
    """Prints the figures, as lines or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--sources", type=int, default=8)
    parser.add_argument("--heldout", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        recipe, validation, embedding = make_run(Path(name), options.rows, options.sources, options.heldout)
        with AnonymousPeak() as memory:
            before, start = memory.peak, time.perf_counter()
            manifest = gate_sources(recipe, "", validation, embedding, f"{name}/gate")
            seconds = time.perf_counter() - start
        report = json.loads(Path(name, "gate", "report.json").read_text())
    figures = {
        "rows": options.rows,
        "sources": options.sources,
        "heldout": options.heldout,
        "cores": usable_cores(),
        "seconds": round(seconds, 1),
        "rows_per_second": round(options.rows / seconds),
        "memory_before_mib": round(before / 2**20),
        "peak_memory_mib": round(memory.peak / 2**20),
        "vectors_mib": round(options.rows * sum(WIDTHS) * 4 / 2**20),
        "kept": manifest.rows,
        "contaminated": report["contamination"]["count"],
        "duplicates": report["near_duplicates"]["count"],
    }
    print(json.dumps(figures) if options.json else "\n".join(f"{name:22} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
