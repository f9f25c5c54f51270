"""How `aerie plan` looks on a terminal of 80 columns or more."""

from collections.abc import Callable
from itertools import starmap

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from model.config import PARTS
from model.costs.gpus import GIB
from model.costs.stage_cost import StagePlan
from pipelines.paper import PAPER, PaperStage
from pipelines.plan_report import PlanReport, assumptions, warnings

Cell = Callable[[str, StagePlan], str]
STAGE_NAMES = {"stage_1": "stage 1", "stage_1_5": "stage 1.5", "stage_2": "stage 2"}
UNKNOWN = "–"
LABEL_WIDTH = 28  # with three columns of 13, one table fits 80


def show_plan(report: PlanReport, console: Console) -> None:
    """All of it: network, stages, curation, what was assumed, and last what doesn't fit."""
    recipe, gpu = report.recipe, report.plan.gpu
    console.print(f"Recipe [bold]{recipe.name}[/] {recipe.sha256[:12]}, seed {recipe.seed}", highlight=False)
    console.print(
        f"on {gpu.name}: {gpu.peak_flops / 1e12:.0f} TFLOP/s by its datasheet, {gpu.memory_bytes / GIB:.1f} GiB",
        highlight=False,
    )
    _show_network(report, console)
    for title, rows in sections(report).items():
        table = _stage_table(title)
        for label, cell in rows.items():
            table.add_row(label, *starmap(cell, report.plan.stages.items()))
        console.print(table)
    if (hours := report.all_hours()) is not None:
        console.print(f"  All stages: {hours[0]:,.1f} hours, {hours[1]:,.0f} GPU-hours", highlight=False)
    if (samples := report.samples_bytes()) is not None:
        console.print(f"  Formatted samples: {_bytes(samples)} for {report.pool:,}\n", highlight=False)
    _show_curation(report, console)
    console.print("Where the numbers come from", style="bold")
    for line in assumptions(report):
        _show_line(line, console)
    for line in warnings(report):
        console.print(f"[bold red]![/] {escape(line)}", highlight=False)


def sections(report: PlanReport) -> dict[str, dict[str, Cell]]:
    """The tables with one column a stage: by title, rows by label."""
    found: dict[str, dict[str, Cell]] = {
        "Stages": SETUP,
        "TFLOP of a sample, forward and backward": FLOPS,
        "Memory of a GPU at its fullest, GiB": MEMORY,
        "Storage": {
            **STORAGE,
            "pack plan": lambda _, stage: _bytes(report.packs_bytes(stage)),
        },
    }
    if report.beside_paper:
        found |= {"Time": TIME, "Beside the paper (arXiv 2501.14818)": BESIDE_PAPER}
    return found


def _trains(_: str, stage: StagePlan) -> str:
    return "everything" if set(PARTS) <= set(stage.settings.trainable) else stage.trains


def _recomputing(_: str, stage: StagePlan) -> str:
    shares = stage.settings.activation_checkpointing.model_dump().values()
    if len(set(shares)) > 1:
        return "/".join(f"{100 * share:.0f}" for share in shares) + " %"
    return {0.0: "none", 1.0: "all"}.get(max(shares), f"{max(shares):.0%}")


def _speed(attribute: str, form: str) -> Cell:
    def cell(_: str, stage: StagePlan) -> str:
        value = getattr(stage.speed, attribute) if stage.speed else None
        return UNKNOWN if value is None else form.format(value)

    return cell


def _flops(part: str) -> Cell:
    return lambda _, stage: f"{getattr(stage.flops, part) / 1e12:,.2f}"


def _gib(part: str) -> Cell:
    return lambda _, stage: f"{getattr(stage.memory, part) / GIB:,.1f}"


def _fits(_: str, stage: StagePlan) -> str:
    return "[green]yes[/]" if stage.fits else "[bold red]does not fit[/]"


def _bytes(count: float | None) -> str:
    if count is None:
        return UNKNOWN
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count / 1e3:,.0f} kB"


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _paper(attribute: str, form: str) -> Cell:
    return lambda name, _: form.format(getattr(PAPER[name], attribute))


def _times_paper(name: str, stage: StagePlan) -> str:
    paper: PaperStage = PAPER[name]
    return f"{stage.speed.samples_per_second / paper.samples_per_second:.1f}×" if stage.speed else UNKNOWN


SETUP: dict[str, Cell] = {
    "trains": _trains,
    "trainable parameters": lambda _, stage: f"{stage.trainable:,}",
    "GPUs": lambda _, stage: f"{stage.placement.gpus:,}",
    "pods × GPUs in each": lambda _, stage: f"{stage.placement.pods} × {stage.placement.per_pod}",
    "samples": lambda _, stage: _count(stage.samples),
    "epochs": lambda _, stage: str(stage.settings.epochs),
    "tokens a pack": lambda _, stage: f"{stage.settings.capacity:,}",
    "samples a pack": lambda _, stage: f"{stage.samples_per_pack:.1f}",
    "packs a step": lambda _, stage: f"{stage.settings.packs_per_step:,}",
    "packs a step and GPU": lambda _, stage: f"{stage.packs_per_gpu:,}",
    "steps": lambda _, stage: _count(stage.steps),
    "learning rate": lambda _, stage: f"{stage.settings.learning_rate:g}",
    "precision": lambda _, stage: stage.settings.precision,
    "ZeRO stage": lambda _, stage: str(stage.settings.zero_stage),
    "recomputed activations": _recomputing,
}
FLOPS: dict[str, Cell] = {
    "vision": _flops("vision"),
    "connector": _flops("connector"),
    "language": _flops("language"),
    "output head": _flops("head"),
    "together": _flops("total"),
}
MEMORY: dict[str, Cell] = {
    "weights": _gib("weights"),
    "gradients": _gib("gradients"),
    "optimizer": _gib("optimizer"),
    "activations": _gib("activations"),
    "buckets and gathered weights": _gib("buffers"),
    "peak": _gib("peak"),
    "reached in": lambda _, stage: stage.memory.moment,
    "usable of the card": lambda _, stage: f"{stage.placement.gpu.usable_bytes / GIB:.1f}",
    "fits": _fits,
    "peak of a pack full of tiles": lambda _, stage: f"{stage.fullest_peak / GIB:,.1f}",
}
TIME: dict[str, Cell] = {
    "samples a second and GPU": _speed("samples_per_second", "{:,.2f}"),
    "hours": _speed("hours", "{:,.1f}"),
    "GPU-hours": _speed("gpu_hours", "{:,.0f}"),
}
BESIDE_PAPER: dict[str, Cell] = {
    "samples": _paper("samples", "{:,}"),
    "H100 GPUs": _paper("gpus", "{}"),
    "hours": _paper("hours", "{:g}"),
    "GPU-hours": _paper("gpu_hours", "{:,.0f}"),
    "samples a second and GPU": _paper("samples_per_second", "{:.2f}"),
    "this plan's rate over it": _times_paper,
}
STORAGE: dict[str, Cell] = {
    "a checkpoint": lambda _, stage: _bytes(stage.checkpoint),
    "checkpoints, one in writing": lambda _, stage: _bytes(stage.checkpoints),
    "finished weights": lambda _, stage: _bytes(stage.result),
}


def _show_network(report: PlanReport, console: Console) -> None:
    plan, model = report.plan, report.recipe.model
    table = Table(title=f"Network {model.preset or ''}".rstrip(), title_justify="left", title_style="bold", box=SIMPLE)
    table.add_column("part", min_width=LABEL_WIDTH)
    table.add_column("parameters", justify="right")
    for name, count in plan.parameters.items():
        table.add_row(name, f"{count:,}")
        for piece, inside in plan.pieces.get(name, {}).items():
            table.add_row(f"  {piece}", f"{inside:,}" if inside else "tied", style="dim")
    table.add_row("total", f"{plan.total:,}")
    console.print(table)
    console.print(
        f"  {plan.tokens_per_tile} tokens per tile of {model.tiling.tile_size} px; an image has at most "
        f"{plan.max_tiles} tiles, {plan.max_image_tokens:,} tokens\n",
        highlight=False,
    )


def _show_curation(report: PlanReport, console: Console) -> None:
    hours = report.curation
    table = Table(
        title=f"Curating {hours.samples:,} samples on one H100", title_justify="left", title_style="bold", box=SIMPLE
    )
    table.add_column("task", min_width=LABEL_WIDTH)
    table.add_column("hours", justify="right")
    for task, value in {**hours.rows(), "together": hours.total}.items():
        table.add_row(task, f"{value:.2f}")
    console.print(table)


def _stage_table(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE)
    table.add_column("", width=LABEL_WIDTH)
    for name in STAGE_NAMES.values():
        table.add_column(name, justify="right", width=13)
    return table


def _show_line(line: str, console: Console) -> None:
    """Wrapped at words: the console itself never breaks a line."""
    console.print(Padding(escape(line), (0, 0, 0, 2)), highlight=False, soft_wrap=False)
