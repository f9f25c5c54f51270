"""What steps keep of every row: filtering and selection with embeddings, and BPE training of every distinct word.

    python tests/benchmarks/bench_row_memory.py [--rows 100000 250000] [--json]

The rows of bench_rows.py with random unit vectors (64 numbers: they lie in mapped files, which RssAnon leaves out).
Filtering measures relevance, selection draws half of the rows by K-means with 100 clusters a category. Each size runs
in a process of its own; `bytes_per_row` is the peaks' difference over that of the rows. Memory and seconds are those of
the step's own process, without its workers, which hold a shard at a time. `words` trains a BPE of 4,000 tokens on made
words, as many distinct ones as there are rows: it keeps words, however often they stand in the text.
"""
# ruff: noqa: E402 (threads and the path are set first)

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import numpy as np
import yaml
from bench_gate import AnonymousPeak
from bench_rows import RECIPE, SHARD_ROWS, generate, heldout

from data.curation.filtering import filter_samples
from data.curation.selection import select_samples
from data.curation.vectors import Embeddings, embedding_table
from data.storage import Manifest, ShardWriter, commit, read_manifest, read_tables
from model.inputs.tokens import train_bpe

WIDTH, PIXELS = 64, "f" * 64
KMEANS = {"default": {"strategy": "kmeans", "clusters": 100}}


def embed(source: str, folder: str, rows: int) -> None:
    """An embedding step of random directions."""
    chance, writer = np.random.default_rng(0), None
    for table in read_tables(source, read_manifest(source), ["sample_id", "source", "category"]):
        vectors = chance.standard_normal((table.num_rows, WIDTH)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        ids, sources, categories = (table[name].to_pylist() for name in ("sample_id", "source", "category"))
        made = Embeddings(sample_ids=ids, sources=sources, categories=categories,
                          pictures=[PIXELS] * table.num_rows, images=vectors, texts=vectors)  # fmt: skip
        columns = embedding_table(made)
        writer = writer or ShardWriter(folder, columns.schema, SHARD_ROWS)
        writer.write_table(columns)
    shards = writer.close() if writer else ()
    commit(folder, Manifest(step="embedding", fingerprint="e", recipe_sha256="", rows=rows, shards=shards))


def words(count: int) -> Iterator[str]:
    """Texts of 50 made words, no word twice: its number, in letters, ends each."""
    chance, letters = random.Random(0), "etaoinshrd"
    for start in range(0, count, 50):
        numbers = ("".join(letters[int(digit)] for digit in str(number)) for number in range(start, start + 50))
        yield " ".join("".join(chance.choices(letters, k=4)) + "l" + number for number in numbers)


def one_size(folder: str, rows: int) -> dict[str, dict[str, float]]:
    """Both steps on so many rows: seconds of CPU and the peak of this process, bytes."""
    at = {name: f"{folder}/{name}" for name in ("gate", "validation", "embedding", "filtering", "selection")}
    os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
    generate(at["gate"], rows)
    heldout(at["validation"])
    embed(at["gate"], at["embedding"], rows)
    selection = {"default": KMEANS["default"] | {"quota": rows // 2}}
    recipe = f"{folder}/recipe.yaml"
    Path(recipe).write_text(yaml.safe_dump(RECIPE | {"data": RECIPE["data"] | {"selection": selection}}))
    inputs = {
        "filtering": lambda: filter_samples(recipe, "", at["gate"], at["filtering"], at["embedding"]),
        "selection": lambda: select_samples(recipe, "", at["filtering"], at["embedding"], at["selection"]),
    }
    return {name: watched(work) for name, work in inputs.items()}


def watched(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of CPU and the peak of this process, bytes."""
    start = time.process_time()
    with AnonymousPeak() as memory:
        work()
    return {"cpu_s": round(time.process_time() - start, 1), "peak_bytes": memory.peak}


def main() -> None:
    """Each size in a process of its own, then what a row adds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 250_000])
    parser.add_argument("--words", action="store_true", help="only BPE training, on one number of rows")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.words:
        print(json.dumps({"words": watched(lambda: train_bpe(words(options.rows[0]), 4000))}))
        return
    if len(options.rows) == 1:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(one_size(folder, options.rows[0])))
        return
    sizes = {}
    for rows in options.rows:
        sizes[rows] = {}
        for part in ([], ["--words"]):
            command = [sys.executable, __file__, "--rows", str(rows), *part]
            shown = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            sizes[rows] |= json.loads(shown.splitlines()[-1])
    fewest, most = min(sizes), max(sizes)
    grown = {
        name: round((step["peak_bytes"] - sizes[fewest][name]["peak_bytes"]) / (most - fewest))
        for name, step in sizes[most].items()
    }
    print(json.dumps({"sizes": sizes, "bytes_per_row": grown}, indent=None if options.json else 1))


if __name__ == "__main__":
    main()
