"""The figures of a simulated run as Markdown, as they stand in infra/README.md."""

from pipelines.scale import Scale, StepCost, TrainingReads, broken_limits
from pipelines.scale_limits import ANNOTATION_BYTES, ARGUMENT_BYTES, ETCD_BYTES, GIB, KIB, MIB, WORKFLOW_BYTES

BEGIN, END = "<!-- scale: begin -->", "<!-- scale: end -->"


def markdown(scale: Scale) -> str:
    """All tables, between the marks."""
    work = scale.work
    title = (
        f"{work.sources} sources, {work.samples:,} samples in the pool, {work.heldout:,} held out, "
        f"{work.image_bytes // 1000} kB an image, {work.rows_per_shard} rows a shard; "
        f"stages on {work.nodes} nodes of {work.gpus} GPUs."
    )
    broken = [f"- {line}" for line in broken_limits(scale)] or ["- none"]
    parts = [BEGIN, title, *_graph(scale), *_steps(scale.steps), *_training(scale.training)]
    return "\n\n".join([*parts, "Limits that do not hold:", "\n".join(broken), END]) + "\n"


def section_of(page: str) -> str:
    """What a page holds between the marks, with them; "" without marks."""
    start, end = page.find(BEGIN), page.find(END)
    return page[start : end + len(END)] + "\n" if 0 <= start < end else ""


def with_section(page: str, section: str) -> str:
    """A page with its section replaced, or appended when it has none."""
    old = section_of(page)
    return page.replace(old.rstrip("\n"), section.rstrip("\n")) if old else f"{page.rstrip()}\n\n{section}".lstrip()


def _graph(scale: Scale) -> list[str]:
    graph = scale.graph
    compiled, workflow = _kib(graph.compiled_bytes), f"{graph.workflow_bytes / MIB:.1f} MiB"
    rows = [
        ("pods over the whole run", f"{graph.pods} ({graph.drivers} drivers, {graph.executors} executors)", "", ""),
        ("largest argument", _kib(graph.largest_argument), _kib(ARGUMENT_BYTES), "Linux"),
        ("sources until it is too large", f"{scale.most_sources:,}", "", ""),
        ("compiled pipeline", compiled, _kib(ETCD_BYTES), "etcd"),
        ("the same as an annotation", compiled, _kib(ANNOTATION_BYTES), "Kubernetes; not used, server-side apply"),
        ("workflow: specification", _kib(graph.spec_bytes), "", ""),
        ("workflow: node status as JSON", f"{graph.status_bytes / MIB:.1f} MiB", "", "Argo packs it"),
        ("workflow in etcd", workflow, f"{WORKFLOW_BYTES / MIB:.1f} MiB", "Argo; etcd 1.5 MiB"),
    ]
    return [_table(("graph", "figure", "limit", "whose"), rows)]


def _kib(count: int) -> str:
    return f"{count / KIB:,.0f} KiB"


def _steps(steps: tuple[StepCost, ...]) -> list[str]:
    rows = []
    for step in steps:
        request = step.requests
        pods = "larger pod" if step.pods_needed is None else str(step.pods_needed)
        rows.append(
            (
                f"{step.name}, one of {step.tasks}" if step.tasks > 1 else step.name,
                f"{request.head + request.get:,}",
                f"{request.put + request.post:,}",
                _size(step.bytes_read),
                _size(step.bytes_written),
                str(step.gpus or ""),
                f"{step.hours:.1f}",
                f"{step.memory_bytes / GIB:.0f} / {step.memory_limit / GIB:.0f}",
                pods,
            )
        )
    requests, sizes = ("reads (HEAD, GET)", "writes (PUT, POST)"), ("read", "written")
    return [_table(("step", *requests, *sizes, "GPUs", "hours", "GiB / limit", "pods needed"), rows)]


def _training(stages: tuple[TrainingReads, ...]) -> list[str]:
    rows = [
        (
            stage.stage,
            f"{stage.listings:,}",
            f"{stage.reads:,}",
            _size(stage.bytes_read),
            _size(stage.bytes_wanted),
            f"{stage.hours:.2f}",
        )
        for stage in stages
    ]
    return [_table(("stage", "LIST at start", "GET", "read", "wanted", "hours of reading"), rows)]


def _size(count: int) -> str:
    """Decimal units, two significant places."""
    for unit, factor in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" if column == 0 else "---:" for column in range(len(head))), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
