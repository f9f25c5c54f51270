"""What one step asks of storage, processor and memory, as formulas over the shards of its inputs.

The formulas follow data/storage.py: a manifest or shard that is read costs one HEAD and one GET of the whole object
(also when only some columns are wanted); a shard, side file or manifest that is written costs one PUT. A test runs
the steps on a real S3 server and compares the counts. Rates and memory were measured on an AMD EPYC, rates in CPU
seconds of one thread, by tests/benchmarks/measure_steps.py (recipe `tiny`, to 4,000 rows). Steps that work on blocks of
rows or in worker processes show only beyond that what they keep of a row: the gate by bench_gate_step.py (peaks at
120,000 and 300,000 rows), filtering and selection by bench_row_memory.py (100,000 and 250,000), formatting by
bench_rows.py (100,000 and 400,000). Vectors lie in mapped files and don't count. That four threads decode four times as
fast is given; two were measured (1.85).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.curation_hours import SAMPLES_PER_SECOND
from pipelines.scale_limits import GIB, MIB

PART_BYTES = 64 * MIB  # a larger object goes up in parts (data/object_store.py)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepModel:
    """One step.

    passes: input step -> how often all its shards are read. manifests: input manifests, each read twice, by the door
    and by the step. recipes: reads of the recipe. heads, gets: further requests, and those for every source.
    files: side files written.
    tables: side tables, sharded as the first input; each is written and read back. output: what its rows are, "" for
    no shards.
    rate: rows a CPU second in one thread, on tiny images (measured). decodes: how many threads look at the pixels of
    every image, 0 where none does. gpu_rate: rows a second of the whole step in a pod with a GPU (measured), 0 where a
    GPU speeds up nothing but pairs.
    base: memory of the process before the first row, with its libraries and encoders (measured). memory: bytes that it
    keeps of every row (measured); shards and held-out samples come on top.
    """

    name: str
    passes: dict[str, int] = field(default_factory=dict)
    manifests: int = 1
    recipes: int = 1
    heads: int = 0
    gets: int = 0
    heads_per_source: int = 0
    gets_per_source: int = 0
    files: int = 1
    tables: int = 0
    output: str = "samples"
    rate: float = 1.0
    gpu_rate: float = 0.0
    decodes: int = 0
    base: int = GIB // 2
    memory: int = 0
    keeps_heldout: bool = False
    compares_pairs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """HTTP requests to the store by method; POST deletes, and opens and closes the parts of a large object."""

    head: int
    get: int
    put: int
    post: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.head + self.get + self.put + self.post


STEPS = (
    StepModel(name="sourcing", manifests=0, files=2, rate=3_700, decodes=1),
    # Two manifests of every source, its quarantine and its held-out file; then its own page for the UI.
    StepModel(
        name="validation",
        passes={"sourcing": 1},
        manifests=0,
        gets=1,
        heads_per_source=2,
        gets_per_source=4,
        files=4,
        rate=3_600,
        decodes=4,
        memory=201,
        keeps_heldout=True,
    ),
    # Reads the held-out samples too; writes their vectors as a shard with its manifest, and the encoders' names.
    StepModel(
        name="embedding",
        passes={"validation": 1},
        gets=1,
        files=3,
        output="vectors",
        rate=420,
        gpu_rate=SAMPLES_PER_SECOND,
        decodes=4,
        base=3 * GIB // 2,
    ),
    # The held-out samples' turns, and their vectors' manifest and shard.
    StepModel(
        name="gate",
        passes={"validation": 2, "embedding": 1},
        manifests=2,
        heads=2,
        gets=3,
        files=2,
        rate=8_200,
        base=GIB,
        memory=350,
        compares_pairs=True,
    ),
    # Measures texts, then relevance by the vectors, then decides; two tables of measures; reads a few shards again for
    # examples of what it dropped.
    StepModel(
        name="filtering",
        passes={"gate": 3, "embedding": 1},
        manifests=2,
        tables=2,
        heads=3,
        gets=4,
        files=4,
        rate=6_200,
        base=GIB,
        memory=570,
    ),
    # It and the next first read what the border before them found; then the border's page goes to the UI.
    StepModel(
        name="selection",
        passes={"filtering": 2, "embedding": 1},
        manifests=2,
        heads=1,
        gets=3,
        files=3,
        rate=22_000,
        base=GIB,
        memory=760,
    ),
    StepModel(name="augmentation", passes={"selection": 1}, heads=1, gets=3, rate=4_400),
    # Its ledger for the UI reads the manifests of all steps so far, and the recipe again; the held-out samples once.
    StepModel(
        name="formatting",
        passes={"augmentation": 1},
        manifests=2,
        recipes=2,
        heads=7,
        gets=8,
        heads_per_source=1,
        gets_per_source=1,
        files=2,
        rate=48_000,
        base=GIB,
        keeps_heldout=True,
    ),
    # One that trains reads all text twice, a published one once. Its component reads the recipe as well: benchmarks'
    # files are checked first. Training keeps up to 1,400 bytes of a distinct word (bench_row_memory.py --words: 900 to
    # 1,400 between 100,000 and 1,000,000 made ones of ten letters), and every sixth sample brings one (given).
    StepModel(name="tokenizer", passes={"formatting": 2}, files=2, recipes=2, output="", rate=3_800, memory=235),
    StepModel(
        name="packing",
        passes={"formatting": 1},
        manifests=2,
        heads=1,
        gets=2,
        output="packs",
        rate=5_400,
        memory=400,
    ),
)


def requests(
    step: StepModel, shards: Mapping[str, int], written: int, *, sources: int, shard_bytes: int = 0
) -> Requests:
    """What one execution sends: `shards` of each input, `written` shards of `shard_bytes` bytes."""
    read = sum(times * shards[name] for name, times in step.passes.items())
    beside = step.tables * shards[next(iter(step.passes))] if step.tables else 0
    parts = -(-shard_bytes // PART_BYTES) if shard_bytes > PART_BYTES else 0
    return Requests(
        # The door looks for a finished manifest, and so does the step.
        head=2 + 2 * step.manifests + read + beside + step.tables + step.heads + step.heads_per_source * sources,
        get=step.recipes + 2 * step.manifests + read + beside + step.gets + step.gets_per_source * sources,
        put=written * (parts or 1) + step.files + 1 + beside + step.tables,
        post=1 + (2 * written if parts else 0),  # the door removes the error of an earlier try
    )
