"""Rows a second of the text steps: measures and filters, formatting, (with --quotas) selection, and the ledger.

    python tests/benchmarks/bench_rows.py [--rows 100000 1000000] [--quotas] [--filters-only] [--json]

Two worker processes where a step has them, one thread of libraries each. Each size runs in a process of its own.
Peak memory is the sum over this process and its workers (proportional set size, ten times a second); CPU seconds
count both. The baseline is the exact measures, sample by sample, on a slice of the same rows in the same run.
"""
# ruff: noqa: E402 (threads and paths are set first)

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import numpy as np
import yaml
from rows import SOURCES, characters, write_rows

from data.curation.filtering import filter_samples
from data.curation.formatting import format_samples
from data.curation.measures import measure
from data.curation.measuring import measured
from data.curation.selection import select_samples
from data.curation.strokes import sample_strokes
from data.curation.turns import COLUMNS
from data.curation.vectors import Embeddings, embedding_table
from data.ledger import StepCount
from data.ledger_markdown import ledger_markdown
from data.ledger_report import ledger_flow
from data.schema import SAMPLE_SCHEMA, table_to_samples
from data.shardwise import shard_bytes, shard_table
from data.storage import Manifest, ShardWriter, attach, commit, read_manifest, read_tables

SHARD_ROWS, SLICE = 8192, 4000
RECIPE = {
    "name": "bench",
    "seed": 1,
    "data": {
        "rows_per_shard": SHARD_ROWS,
        "sources": [{"name": f"source-{n:02d}"} for n in range(SOURCES)],
        "selection": {"default": {"strategy": "random", "quota": 50_000}},
    },
}


class Memory(threading.Thread):
    """The peak of the memory of this process and all below it, bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.stopped = 0, threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.1):
            self.peak = max(self.peak, sum(proportional(process) for process in family(os.getpid())))


def family(root: int) -> list[int]:
    """A process and all its descendants."""
    found = [root]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def proportional(process: int) -> int:
    """The proportional set size of a process, bytes; 0 when it has gone."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def cpu_seconds() -> float:
    """Of this process, of all below it, and of those of them that have ended."""
    return sum(used(process) for process in family(os.getpid()))


def used(process: int) -> float:
    """CPU seconds of a process and its ended children; 0 when it has gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def generate(folder: str, count: int) -> Manifest:
    """The gate's output, as if so many rows had passed it."""
    sizes = [min(SHARD_ROWS, count - start) for start in range(0, count, SHARD_ROWS)]
    with ProcessPoolExecutor(2) as pool:
        paths = [f"shard-{number:05d}.parquet" for number in range(len(sizes))]
        shards = tuple(pool.map(write_rows, [folder] * len(sizes), paths, sizes, range(len(sizes))))
    manifest = Manifest(step="gate", fingerprint="gate", recipe_sha256="", rows=count, shards=shards)
    sources: Counter[str] = Counter()
    for table in read_tables(folder, manifest, ["source"]):
        sources.update(table["source"].to_pylist())
    counts = tuple(StepCount(source=name, rows_in=rows, rows_out=rows) for name, rows in sorted(sources.items()))
    return commit(folder, Manifest(**{**vars_of(manifest), "counts": counts}))


def vars_of(manifest: Manifest) -> dict[str, object]:
    """A manifest's fields."""
    return {name: getattr(manifest, name) for name in manifest.__dataclass_fields__}


def heldout(folder: str) -> None:
    """A validation step without held-out rows: formatting asks for one."""
    entry = attach(folder, "heldout.parquet", shard_bytes(SAMPLE_SCHEMA.empty_table()))
    commit(
        folder,
        Manifest(
            step="validation", fingerprint="v", recipe_sha256="", rows=0, shards=(), attachments={"heldout": entry}
        ),
    )


def embeddings(source: str, folder: str) -> None:
    """An embedding step of one number a vector: quotas by chance read ids and sources only."""
    writer = None
    for table in read_tables(source, read_manifest(source), ["sample_id", "source", "category"]):
        ones = np.ones((table.num_rows, 1), np.float32)
        columns = [table[name].to_pylist() for name in ("sample_id", "source", "category")]
        made = embedding_table(Embeddings(**dict(zip(("sample_ids", "sources", "categories"), columns, strict=True)),
                                          pictures=[""] * table.num_rows, images=ones, texts=ones))  # fmt: skip
        writer = writer or ShardWriter(folder, made.schema, SHARD_ROWS)
        writer.write_table(made)
    shards = writer.close() if writer else ()
    commit(folder, Manifest(step="embedding", fingerprint="e", recipe_sha256="", rows=0, shards=shards))


def one_size(folder: str, count: int, quotas: bool, filters_only: bool) -> dict[str, object]:
    """All steps on so many rows."""
    recipe = f"{folder}/recipe.yaml"
    Path(recipe).write_text(yaml.safe_dump(RECIPE))
    at = {
        name: f"{folder}/{name}" for name in ("gate", "embedding", "validation", "filtering", "selection", "formatting")
    }
    generate(at["gate"], count)
    heldout(at["validation"])
    if quotas:
        embeddings(at["gate"], at["embedding"])
    steps = {"measures and filters": lambda: filter_samples(recipe, "", at["gate"], at["filtering"])}
    before = at["filtering"]
    if quotas:
        before = at["selection"]
        steps["quotas"] = lambda: select_samples(recipe, "", at["filtering"], at["embedding"], at["selection"])
    steps["formatting"] = lambda: format_samples(recipe, "", before, at["validation"], at["formatting"])
    names = ["gate", "filtering", *(["selection"] if quotas else []), "formatting"]
    if filters_only:
        names = names[:2]
        steps = {"measures and filters": steps["measures and filters"]}
    steps["ledger"] = lambda: ledger(folder, names)
    return {"rows": count, **timed(steps, count)}


def ledger(folder: str, names: list[str]) -> str:
    """The closed sums of all steps as a table."""
    chain = [(name, read_manifest(f"{folder}/{name}").counts) for name in names]
    kept = [StepCount(source=c.source, rows_in=c.rows_out, rows_out=c.rows_out) for c in chain[-1][1]]
    categories = {count.source: "general_vqa" for count in chain[0][1]}
    return ledger_markdown(ledger_flow(chain, {"training": kept}, categories))


def timed(steps: dict, count: int) -> dict[str, object]:
    """Wall and CPU seconds of each step, and the peak of memory over all."""
    memory = Memory()
    memory.start()
    found = {}
    for name, work in steps.items():
        wall, cpu = time.perf_counter(), cpu_seconds()
        work()
        wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
        found[name] = {"wall_s": round(wall, 2), "cpu_us_per_row": round(cpu / count * 1e6, 1)}
    memory.stopped.set()
    memory.join()
    wall = sum(step["wall_s"] for step in found.values())
    return {
        "steps": found,
        "wall_s": round(wall, 2),
        "rows_per_s": round(count / wall),
        "cpu_us_per_row": round(sum(step["cpu_us_per_row"] for step in found.values()), 1),
        "peak_mib": round(memory.peak / 2**20),
    }


def baseline() -> dict[str, object]:
    """CPU microseconds a row of the measures alone: by columns, sample by sample, and of the decode-bound one."""
    with tempfile.TemporaryDirectory() as folder:
        write_rows(folder, "slice.parquet", SLICE, 10**6)
        payload = Path(folder, "slice.parquet").read_bytes()
    table = shard_table(payload)
    measured(shard_table(payload, COLUMNS))  # compiles the patterns
    start = time.process_time()
    measured(shard_table(payload, COLUMNS))
    columns = time.process_time() - start
    start = time.process_time()
    for sample in table_to_samples(shard_table(payload)):
        measure(sample)
    rows = time.process_time() - start
    start = time.process_time()
    read = [sample_strokes(sample) for sample in table_to_samples(shard_table(payload))]
    strokes = time.process_time() - start
    return {
        "characters_per_row": round(characters(table)),
        "by_columns_us_per_row": round(columns / SLICE * 1e6, 1),
        "by_samples_us_per_row": round(rows / SLICE * 1e6, 1),
        "ratio": round(rows / columns, 1),
        "decode_bound": {
            "measure": "text_strokes",
            "rows_that_ask": int(np.isfinite(read).sum()),
            "us_per_row_that_asks": round(strokes / max(np.isfinite(read).sum(), 1) * 1e6, 1),
        },
    }


def apart(count: int, flags: list[str]) -> dict[str, object]:
    """One size in a process of its own."""
    command = [sys.executable, __file__, "--one", str(count), *flags]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--quotas", action="store_true", help="also select_samples with strategy random")
    parser.add_argument("--filters-only", action="store_true", help="no formatting")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(one_size(folder, given.one, given.quotas, given.filters_only)))
        return
    flags = ["--quotas"] * given.quotas + ["--filters-only"] * given.filters_only
    sizes = [apart(count, flags) for count in given.rows]
    result = {"sizes": sizes, "measures": baseline(), "quotas": "measured" if given.quotas else "not part"}
    if len(sizes) > 1:
        result["linearity"] = round(sizes[-1]["wall_s"] / sizes[0]["wall_s"], 2)
    print(json.dumps(result, indent=None if given.json else 1))


if __name__ == "__main__":
    main()
