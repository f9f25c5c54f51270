"""Tables for the terminal: steps and results."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.console import StepResult


def show_steps(results: list[StepResult], console: Console) -> None:
    """Time and memory per step of this execution."""
    table = _table("Steps", "step", "seconds", "peak MiB", "rows", "")
    for result in results:
        note = "kept" if result.reused else ""
        table.add_row(result.step, f"{result.seconds:.1f}", f"{result.mib:.0f}", str(result.rows or ""), note)
    console.print(table)


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
    for line in _public(summary.get("public_benchmarks")):
        console.print(line, highlight=False, markup=False)
    promotion = summary["promotion"]
    console.print(f"Promotion: {promotion['verdict']}. {promotion['text']}", highlight=False, markup=False)
    total = summary["ledger"]["total"]
    console.print(
        f"Ledger: {total['read']:,} rows read + {total['added']:,} added = {total['trained']:,} trained + "
        f"{total['lost']:,} dropped",
        highlight=False,
    )


def _public(benchmarks: dict[str, Any] | None) -> Iterator[str]:
    """Public benchmarks in two lines, by the papers' rules; nothing where the recipe asks none."""
    if benchmarks is None:
        return
    scores = [(row["benchmark"], row["rules"]["eagle2"].get("score"), row["judged"]) for row in benchmarks["asked"]]
    told = [f"{name} {score:.1f}" if judged else f"{name} unjudged" for name, score, judged in scores]
    yield f"Public benchmarks, points: {', '.join(told) or 'none'}"
    if benchmarks["not_run"]:
        yield f"Not run for want of data: {', '.join(benchmarks['not_run'])}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position == 0 else "right")
    return table
