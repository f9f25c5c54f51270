"""The `aerie benchmarks` commands: list and show the benchmark cards, and whether their data are there."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.options import AsJson
from pipelines.people import for_people

benchmarks = typer.Typer(no_args_is_help=True, help="The benchmarks of the paper: one card each.")

DataOption = Annotated[str, typer.Option("--data", metavar="FOLDER", help="Folder that holds the benchmarks' files.")]


@benchmarks.command(name="list")
def list_command(data: DataOption = "", as_json: AsJson = False) -> None:
    """List the benchmarks and the averages over them, in the order of the paper's table.

    With --data it also says which of them are there: FILE.tsv or NAME/ in the folder.
    A benchmark that isn't there can't be run, and is reported as not run.
    """
    with for_people() as console:
        from model.evaluation.benchmarks.cards import average_cards, benchmark_cards
        from model.evaluation.benchmarks.places import found
        from pipelines.benchmarks_view import show_benchmarks

        cards = list(benchmark_cards().values())
        places = {card.name: found(card, data) for card in cards} if data else None
        if as_json:
            where = {name: str(path) if path else None for name, path in (places or {}).items()}
            listed = [{**card.model_dump(), "data": where.get(card.name)} for card in cards]
            _print_json({"benchmarks": listed, "averages": [card.model_dump() for card in average_cards().values()]})
        else:
            show_benchmarks(cards, list(average_cards().values()), places, console)


@benchmarks.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a benchmark or average.", show_default=False)],
    data: DataOption = "",
    as_json: AsJson = False,
) -> None:
    """Show one card: data, columns, wording, rule, judge.

    With --data it compares the file with the published MD5 and shows the first
    question as a model gets it.
    """
    with for_people() as console:
        from model.evaluation.benchmarks.cards import average_cards, benchmark_card
        from model.evaluation.benchmarks.places import found, state
        from model.evaluation.benchmarks.reading import questions
        from pipelines.benchmarks_view import show_average, show_benchmark, show_question

        if name in average_cards():
            card = average_cards()[name]
            _print_json(card.model_dump()) if as_json else show_average(card, console)
            return
        benchmark = benchmark_card(name)
        path = found(benchmark, data) if data else None
        if as_json:
            _print_json({**benchmark.model_dump(), "data": str(path) if path else None})
            return
        there = "" if not data else f"{path} ({state(benchmark, path)})" if path else f"not in {data}"
        show_benchmark(benchmark, there, console)
        if path is not None:
            show_question(next(questions(benchmark, path)), console)


@benchmarks.command()
def check(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file (YAML).", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Read the files in a recipe's evaluation.benchmark_data, every row.

    It says which benchmarks the last stage will be asked and which will not be
    run. A missing folder or a broken row ends with exit code 2, as it would end
    a run before its training.
    """
    with for_people() as console:
        from model.evaluation.public_benchmarks import check_public_benchmarks
        from pipelines.benchmarks_view import show_checked

        asked, not_run = check_public_benchmarks(str(recipe))
        if as_json:
            _print_json({"asked": asked, "not_run": not_run})
        else:
            show_checked(asked, not_run, console)


def _print_json(value: object) -> None:
    plain = Console(file=sys.stdout, soft_wrap=True, markup=False, highlight=False)
    plain.print(json.dumps(value, indent=2, ensure_ascii=False))
