"""A run at the paper's size on paper: what the compiled pipeline and its steps would ask of a cluster.

    compiled end_to_end -> lint_package -> scale_graph   pods, arguments, Workflow
    Workload            -> scale_steps  -> cost of a step: requests, bytes, hours, memory    -> broken limits, in words
    Workload            ->                 reads of a training stage

Nothing is started. Measured figures stand in scale_steps.py and below, given ones are named so.
"""

from dataclasses import dataclass

from pipelines.curation_hours import GATE_FLOPS, IMAGE_WIDTH, TEXT_WIDTH
from pipelines.lint_package import Package
from pipelines.scale_graph import GraphSize, graph_size, largest_list
from pipelines.scale_limits import (
    ARGUMENT_BYTES,
    CATEGORIES,
    ETCD_BYTES,
    FASTER,
    GIB,
    KIB,
    MIB,
    STAGE_HOURS,
    STEP_HOURS,
    WORKFLOW_BYTES,
    Workload,
)
from pipelines.scale_steps import STEPS, Requests, StepModel, requests

# Measured by tests/benchmarks/measure_steps.py, one thread.
DECODE_SECONDS, PAIRS_PER_SECOND = 0.0052, 26_000_000
GPU_PAIRS_PER_SECOND = GATE_FLOPS / (2 * (IMAGE_WIDTH + TEXT_WIDTH))  # by bench_curation_gpu.py, on an H100
READ_RATE, WRITE_RATE = 940e6, 739e6  # Parquet with its hash, bytes a second
TEXT_BYTES, VECTOR_BYTES, PACK_BYTES = 760, 6_656, 38  # stored for a row: all but the image; two vectors; one use
# Given.
NETWORK_RATE = 1e9  # bytes a second between a pod and the store
THREADS = 4  # of a matrix product; but for decoding the rest of a step runs in one thread
SHARDS_IN_MEMORY = 3  # the table that is read, the one that is collected, its Parquet
HELDOUT_COPIES = 2  # the samples and their Parquet
# Reading for training (data/row_groups.py, data/shardwise.py).
ROW_GROUP_BYTES, ROW_GROUP_ROWS = 1 << 19, 256
FOOTER_BYTES = 850  # of a row group, measured with photos
FOOTERS_IN_MEMORY = 16 * MIB  # of 64 MiB in a process; parsed they take four times as much
LISTED = 1000  # names in one answer of S3


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """One execution of a step at full size; sourcing's is one of `tasks` equal ones, which run side by side.

    gpus: those of its pod. fixed_bytes of memory are needed for any number of rows, row_bytes grow with them.
    """

    name: str
    tasks: int
    rows: int
    shards: int
    requests: Requests
    bytes_read: int
    bytes_written: int
    gpus: int
    hours: float
    fixed_bytes: int
    row_bytes: int
    memory_limit: int

    @property
    def memory_bytes(self) -> int:
        """Peak of the pod."""
        return self.fixed_bytes + self.row_bytes

    @property
    def pods_needed(self) -> int | None:
        """Pods that share the rows so that each keeps its limits of time and memory; 1: the step fits as it is.

        None when no number of pods helps, since what each needs for itself is beyond the memory limit.
        """
        room = self.memory_limit - self.fixed_bytes
        return max(1, _ceil(self.hours / STEP_HOURS), _ceil(self.row_bytes / room)) if room > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReads:
    """What the processes of one stage read: listings at start, then row groups and footers of shards.

    hours: of reading, when every node reads at the network's rate and nothing else happens.
    """

    stage: str
    listings: int
    reads: int
    bytes_read: int
    bytes_wanted: int
    hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """All figures of a workload."""

    work: Workload
    graph: GraphSize
    most_sources: int
    steps: tuple[StepCost, ...]
    training: tuple[TrainingReads, ...]


def simulate(package: Package, work: Workload) -> Scale:
    """The figures of a compiled `end_to_end`."""
    limits, gpus = memory_limits(package), gpu_counts(package)
    stages = {"stage_1": work.stage_1, "stage_1_5": work.samples, "stage_2": work.stage_2}
    return Scale(
        work=work,
        graph=graph_size(package, work),
        most_sources=largest_list(package, ARGUMENT_BYTES),
        steps=tuple(step_cost(step, work, limits[step.name], gpus[step.name]) for step in STEPS),
        training=tuple(training_reads(stage, samples, work) for stage, samples in stages.items()),
    )


def memory_limits(package: Package) -> dict[str, int]:
    """Memory limit of each component's pod, bytes, from the compiled resources."""
    units = {"Gi": GIB, "Mi": MIB, "Ki": KIB}
    texts = {task.function: task.container["resources"]["resourceMemoryLimit"] for task in package.pods}
    return {name: int(text[:-2]) * units[text[-2:]] for name, text in texts.items()}


def gpu_counts(package: Package) -> dict[str, int]:
    """GPUs of each component's pod, from the compiled resources."""
    return {task.function: task.accelerators[0] for task in package.pods}


def row_bytes(output: str, work: Workload) -> int:
    """Stored bytes of one row of a step's shards."""
    return {"samples": work.image_bytes + TEXT_BYTES, "vectors": VECTOR_BYTES, "packs": PACK_BYTES}.get(output, 0)


def step_cost(step: StepModel, work: Workload, memory_limit: int, gpus: int = 0) -> StepCost:
    """One execution of a step; every sample is kept, so that each number is an upper bound."""
    alone = step.name == "sourcing"
    rows = work.rows_per_source if alone else work.samples
    outputs = {other.name: other.output for other in STEPS}
    shards = {name: _shards(name, work) for name in outputs}
    written = _ceil(rows / work.rows_per_shard) if step.output else 0
    one = row_bytes(step.output, work)
    heldout = work.heldout * row_bytes("samples", work) if step.keeps_heldout else 0
    read = sum(times * rows * row_bytes(outputs[name], work) for name, times in step.passes.items()) + heldout
    out = rows * one + heldout
    shard = work.rows_per_shard * row_bytes("samples", work)
    return StepCost(
        name=step.name,
        tasks=work.sources if alone else 1,
        rows=rows,
        shards=written,
        requests=requests(step, shards, written, sources=work.sources, shard_bytes=work.rows_per_shard * one),
        bytes_read=read,
        bytes_written=out,
        gpus=gpus,
        hours=step_hours(step, rows, read, out, on_gpu=gpus > 0),
        fixed_bytes=step.base + SHARDS_IN_MEMORY * shard + HELDOUT_COPIES * heldout,
        row_bytes=step.memory * rows,
        memory_limit=memory_limit,
    )


def step_hours(step: StepModel, rows: int, read: int, written: int, *, on_gpu: bool = False) -> float:
    """Wall time of one pod that does one thing after the other: rows, pixels, pairs, Parquet, network."""
    network = (read + written) / NETWORK_RATE
    if on_gpu and step.gpu_rate:
        return (rows / step.gpu_rate + network) / 3600
    seconds = rows / step.rate + (rows * DECODE_SECONDS / step.decodes if step.decodes else 0.0)
    if step.compares_pairs:
        seconds += rows**2 / (2 * CATEGORIES) / (GPU_PAIRS_PER_SECOND if on_gpu else PAIRS_PER_SECOND * THREADS)
    return (seconds + read / READ_RATE + written / WRITE_RATE + network) / 3600


def training_reads(stage: str, samples: int, work: Workload) -> TrainingReads:
    """Packs mix the samples of all shards: a sample's row group is in no cache, its shard's footer only by chance."""
    row, shards = row_bytes("samples", work), _ceil(work.samples / work.rows_per_shard)
    rows = min(max(ROW_GROUP_BYTES // row, 1), ROW_GROUP_ROWS, work.rows_per_shard)
    footer = _ceil(work.rows_per_shard / rows) * FOOTER_BYTES
    footers = round(samples * (1 - min(1.0, FOOTERS_IN_MEMORY / (shards * footer))))
    read = samples * rows * row + footers * footer
    return TrainingReads(
        stage=stage,
        listings=work.nodes * work.gpus * _ceil(shards / LISTED),
        reads=samples + footers,
        bytes_read=read,
        bytes_wanted=samples * row,
        hours=read / (work.nodes * NETWORK_RATE) / 3600,
    )


def graph_limits(graph: GraphSize) -> list[str]:
    """One line for each limit that the graph breaks: such a run fails."""
    sizes = (
        (f"argument of {graph.largest_argument_of}", graph.largest_argument, ARGUMENT_BYTES),
        ("workflow", graph.workflow_bytes, WORKFLOW_BYTES),
        ("compiled pipeline", graph.compiled_bytes, ETCD_BYTES),
    )
    return [f"{name}: {size:,} of {limit:,} bytes" for name, size, limit in sizes if size > limit]


def broken_limits(scale: Scale) -> list[str]:
    """One line for each limit that does not hold, of the graph, of a step or of a stage's reads."""
    found = graph_limits(scale.graph)
    for step in scale.steps:
        if step.hours > STEP_HOURS:
            found.append(f"{step.name}: {step.hours:.0f} of {STEP_HOURS:.0f} hours")
        if step.memory_bytes > step.memory_limit:
            found.append(f"{step.name}: {step.memory_bytes / GIB:.0f} of {step.memory_limit / GIB:.0f} GiB memory")
    for stage in scale.training:
        if stage.hours > (limit := STAGE_HOURS[stage.stage] / FASTER):
            found.append(f"{stage.stage}: {stage.hours:.1f} hours of reading, {limit:.1f} of training")
    return found


def _shards(step: str, work: Workload) -> int:
    """Shards of a step's output; every source ends with a shard of its own."""
    if step == "sourcing":
        return work.sources * _ceil(work.rows_per_source / work.rows_per_shard)
    return _ceil(work.samples / work.rows_per_shard)


def _ceil(value: float) -> int:
    return -int(-value // 1)
