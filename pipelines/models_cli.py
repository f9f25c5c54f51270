"""The `aerie models` commands: accepted checkpoints, as the registry of a storage holds them."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from data.errors import AerieError
from model.evaluation.promotion.registry import Entry, document, entries, models, registry_folder
from pipelines.options import AsJson, Storage
from pipelines.people import for_people

models_app = typer.Typer(no_args_is_help=True, help="Accepted checkpoints: which there are, and what each holds.")
SHORT = 10


@models_app.command(name="list")
def list_command(
    model: Annotated[str, typer.Argument(metavar="[NAME]", help="Only this model; left out, all.")] = "",
    storage: Storage = "artifacts",
    as_json: AsJson = False,
) -> None:
    """List the accepted checkpoints of a storage, the newest of each model first.

    Score is the plain mean over sources, in per cent; `change` is to the entry before.
    """
    with for_people() as console:
        found = _entries(storage, model)
        if as_json:
            console.print_json(json.dumps([document(entry) for entry in found]))
            return
        if not found:
            console.print(f"No checkpoint was accepted in {registry_folder(storage)} yet.", highlight=False)
            return
        scores = {(entry.model, entry.number): entry.mean_score for entry in found}
        table = _table("Accepted checkpoints", "model", "no.", "date", "score", "change", "checkpoint", "data", "run")
        for entry in found:
            before = scores.get((entry.model, entry.number - 1))
            table.add_row(
                entry.model,
                str(entry.number),
                entry.date[:10],
                _percent(entry.mean_score),
                _change(entry.mean_score, before),
                entry.checkpoint[:SHORT],
                entry.data_version[:SHORT],
                entry.run_id,
            )
        console.print(table)


@models_app.command()
def show(
    model: Annotated[str, typer.Argument(metavar="NAME", help="A model's name; see `aerie models list`.")],
    number: Annotated[int, typer.Argument(metavar="[NUMBER]", min=0, help="Left out, the newest.")] = 0,
    storage: Storage = "artifacts",
    as_json: AsJson = False,
) -> None:
    """Show one accepted checkpoint: hashes, and scores of each source and benchmark beside the entry before."""
    with for_people() as console:
        known = {entry.number: entry for entry in _entries(storage, model)}
        if not known:
            raise AerieError(f"no checkpoint named {model!r} in {registry_folder(storage)}; see `aerie models list`")
        if number and number not in known:
            raise AerieError(f"{model} has the numbers 1 to {max(known)}, not {number}")
        entry = known[number or max(known)]
        if as_json:
            console.print_json(json.dumps(document(entry)))
            return
        _show(entry, known.get(entry.number - 1), console)


def _entries(storage: str, model: str) -> list[Entry]:
    folder = registry_folder(storage)
    return [entry for name in ([model] if model else models(folder)) for entry in reversed(entries(folder, name))]


def _show(entry: Entry, before: Entry | None, console: Console) -> None:
    facts = {
        "accepted": entry.date,
        "run": entry.run_id,
        "checkpoint": f"{entry.run_id}/{entry.stage}",
        "manifest": entry.checkpoint,
        "recipe": f"{entry.recipe} {entry.recipe_sha256}",
        "data version": entry.data_version,
        "predecessor": entry.predecessor or "none",
        "code": entry.git_sha or "not known",
        "rules": entry.rules,
        **({"benchmark rules": entry.benchmark_rules} if entry.benchmark_rules else {}),
        **({"judge": entry.judge} if entry.judge else {}),
    }
    table = _table(f"{entry.model} number {entry.number}", "", "")
    table.show_header = False
    for name, value in facts.items():
        table.add_row(name, value)
    console.print(table)
    earlier = before.scores if before and before.rules == entry.rules else {}
    console.print(_scores("source", entry.scores, entry.questions, earlier))
    if entry.benchmark_scores:
        same = before and (before.benchmark_rules, before.judge) == (entry.benchmark_rules, entry.judge)
        earlier = before.benchmark_scores if before and same else {}
        console.print(_scores("benchmark", entry.benchmark_scores, entry.benchmark_units, earlier))


def _scores(level: str, scores: Mapping[str, float], asked: Mapping[str, int], before: Mapping[str, float]) -> Table:
    table = _table(f"\nScores by {level}, %", level, "asked", "score", "change")
    for name, value in scores.items():
        table.add_row(name, f"{asked.get(name, 0):,}", _percent(value), _change(value, before.get(name)))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    numbers: dict[str, Any] = {"justify": "right", "no_wrap": True}
    for column in columns:
        table.add_column(column, overflow="fold", **(numbers if column in NUMBERS else {}))
    return table


NUMBERS = {"no.", "score", "change", "asked"}


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _change(value: float | None, before: float | None) -> str:
    return "–" if value is None or before is None else f"{100 * (value - before):+.1f}"
