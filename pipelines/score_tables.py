"""Benchmark scores on a terminal: one rule set with all its numbers, or several side by side."""

from typing import Any

from rich.console import Console
from rich.table import Table

SHOWN = {"score", "questions", "unjudged", "unread"}  # in columns of their own


def show_scores(document: dict[str, Any], console: Console) -> None:
    """A row a benchmark, from the JSON of `model.evaluation.scoring.Scores`."""
    benchmarks = document["benchmarks"]
    rules = list(benchmarks[0]["rules"])
    console.print(_by_one(benchmarks, rules[0]) if len(rules) == 1 else _by_all(benchmarks, rules))
    for name, entry in document["averages"].items():
        console.print(_average(name, entry), highlight=False)
    if unjudged := sum(int(entry["rules"][rules[0]]["unjudged"]) for entry in benchmarks):
        console.print(f"{unjudged:,} questions need a judge and have no score yet.", highlight=False)
    if document["blind_left_out"]:
        console.print(f"{document['blind_left_out']:,} answers to blanked images are left out.", highlight=False)


def _average(name: str, entry: dict[str, Any]) -> str:
    if entry["missing"]:
        return f"Average {name}: not yet, {len(entry['missing'])} benchmarks are missing."
    return f"Average {name}: " + ", ".join(f"{_number(value)} ({rules})" for rules, value in entry["rules"].items())


def _by_one(benchmarks: list[dict[str, Any]], rules: str) -> Table:
    """Benchmark, questions, headline, outputs in which no answer was found, whatever else its authors report."""
    table = _table(f"Scores by the rules of {rules}", "benchmark", "questions", "score", "unread")
    table.add_column("in detail", overflow="fold")
    for entry in benchmarks:
        numbers = entry["rules"][rules]
        others = [f"{name} {_number(value)}" for name, value in numbers.items() if name not in SHOWN]
        counts = [f"{int(numbers[name]):,}" for name in ("questions", "unread")]
        table.add_row(entry["benchmark"], counts[0], _number(numbers.get("score")), counts[1], ", ".join(others))
    return table


def _by_all(benchmarks: list[dict[str, Any]], rules: list[str]) -> Table:
    """The headline by each rule set, and the gap between the highest and the lowest."""
    table = _table("Scores by rule set", "benchmark", "questions", *rules, "gap")
    for entry in benchmarks:
        scores = [_number(entry["rules"][name].get("score")) for name in rules]
        wide = entry["gap"] is not None and entry["gap"] >= 0.05  # what one decimal shows
        table.add_row(
            entry["benchmark"],
            f"{entry['rules'][rules[0]]['questions']:,}",
            *scores,
            f"[bold]{_number(entry['gap'])}[/]" if wide else _number(entry["gap"]),
        )
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position == 0 else "right")
    return table
