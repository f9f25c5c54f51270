"""Tables for the terminal: steps, plan, results."""

from typing import Any

from rich.console import Console
from rich.table import Table

from model.recipe import Recipe
from pipelines.console import StepResult
from pipelines.curation_hours import curation_hours
from pipelines.scale_limits import Workload


def show_steps(results: list[StepResult], console: Console) -> None:
    """Time and memory per step of this execution."""
    table = _table("Steps", "step", "seconds", "peak MiB", "rows", "")
    for result in results:
        note = "kept" if result.reused else ""
        table.add_row(result.step, f"{result.seconds:.1f}", f"{result.mib:.0f}", str(result.rows or ""), note)
    console.print(table)


def show_plan(recipe: Recipe, console: Console) -> None:
    """What `model.training.cost` says about a recipe."""
    from model.training.cost import plan

    found = plan(recipe)
    console.print(f"Recipe [bold]{recipe.name}[/] {recipe.sha256[:12]}, seed {recipe.seed}", highlight=False)
    parts = _table(f"Network {recipe.model.preset or ''}".rstrip(), "part", "parameters")
    for name, count in found.parameters.items():
        parts.add_row(name, f"{count:,}")
        for piece, inside in found.pieces.get(name, {}).items():
            parts.add_row(f"  {piece}", f"{inside:,}" if inside else "tied", style="dim")
    parts.add_row("total", f"{found.total:,}")
    console.print(parts)
    console.print(
        f"{found.tokens_per_tile} tokens per tile, at most {found.max_image_tokens:,} per image "
        f"(tile {recipe.model.tiling.tile_size} px, {found.max_tiles} tiles with thumbnail)",
        highlight=False,
    )
    stages = _table("Stages", "", *found.stages)
    for row, label in STAGE_ROWS.items():
        stages.add_row(label, *(str(getattr(stage, row)) for stage in found.stages.values()))
    console.print(stages)
    show_curation(Workload().samples, console)


def show_curation(samples: int, console: Console) -> None:
    """Hours of one H100 that curating a pool of the paper's size takes, by measured rates."""
    hours = curation_hours(samples)
    table = _table(f"Curating {samples:,} samples on one H100", "task", "hours")
    for task, value in {**hours.rows(), "total": hours.total}.items():
        table.add_row("together" if task == "total" else task, f"{value:.2f}")
    console.print(table)


STAGE_ROWS = {
    "trains": "trains",
    "trainable": "trainable parameters",
    "processes": "nodes × processes",
    "capacity": "tokens per pack",
    "packs_per_step": "packs per step",
    "epochs": "epochs",
    "learning_rate": "learning rate",
    "precision": "precision",
    "zero_stage": "ZeRO stage",
    "state_mib": "weights + gradients + optimizer, MiB per process",
}


def show_summary(summary: dict[str, Any], console: Console) -> None:
    """The evaluation part of the report's summary, one row a benchmark and one column a stage; then the ledger."""
    stages = {"stage_1": "stage\n1", "stage_1_5": "stage\n1.5", "stage_2": "stage\n2"}  # fits 80 columns
    kinds = {"all": "all", "yes_no": "yes/no", "open": "open"}
    scores = _table("Held-out scores, %", "source", "kind", "asked", "majority", "blind", *stages.values())
    for row in summary["evaluation"]:
        whole = row["answer_type"] == "all"
        scores.add_row(
            row["group"] if whole else "",
            kinds[row["answer_type"]],
            f"{row['questions']:,}",
            _percent(row["majority"]),
            _percent(row["blind"]),
            *(_percent(row["stages"][stage]) for stage in stages),
            style="" if whole else "dim",
        )
    console.print(scores)
    total = summary["ledger"]["total"]
    console.print(
        f"Ledger: {total['read']:,} rows read + {total['added']:,} added = {total['trained']:,} trained + "
        f"{total['lost']:,} dropped",
        highlight=False,
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position == 0 else "right")
    return table
