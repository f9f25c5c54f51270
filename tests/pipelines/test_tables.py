"""Tables for the terminal: plan and results."""

import io
from pathlib import Path

from rich.console import Console

from model.recipe import load_recipe
from pipelines.console import StepResult
from pipelines.tables import show_plan, show_steps, show_summary

RECIPES = Path(__file__).resolve().parents[2] / "pipelines/recipes"


def shown(show, *arguments) -> list[list[str]]:
    """The cells of each printed line."""
    console = Console(file=io.StringIO(), width=200)
    show(*arguments, console)
    return [[cell.strip() for cell in line.strip("│┃ ").replace("┃", "│").split("│")] for line in lines(console)]


def lines(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()


def score_row(answer_type: str, stages: list[float | None], blind: float | None) -> dict:
    return {
        "group": "easy-vqa", "answer_type": answer_type, "questions": 9673, "majority": 0.34, "blind": blind,
        "stages": dict(zip(("stage_1", "stage_1_5", "stage_2"), stages, strict=True)),
    }  # fmt: skip


def test_results_stand_in_per_cent_with_the_answer_types_below_their_source():
    rows = [score_row("all", [0.1, 0.5, 0.912], 0.5), score_row("yes_no", [None, 0.6, 0.95], None)]
    cells = shown(show_summary, {"evaluation": rows})
    assert ["source", "", "questions", "majority", "blind", "stage 1", "stage 1.5", "stage 2"] in cells
    assert ["easy-vqa", "", "9,673", "34.0", "50.0", "10.0", "50.0", "91.2"] in cells
    assert ["yes/no", "9,673", "34.0", "", "", "60.0", "95.0"] in cells


def test_kept_steps_are_marked():
    results = [StepResult(step="gate", seconds=1.26, mib=120.4, rows=7, reused=reused) for reused in (False, True)]
    cells = shown(show_steps, results)
    assert ["gate", "1.3", "120", "7"] in cells
    assert ["gate", "1.3", "120", "7", "kept"] in cells


def test_a_plan_prices_every_recipe_that_ships():
    for path in RECIPES.glob("*.yaml"):
        cells = shown(show_plan, load_recipe(str(path)))
        assert [cell[0] for cell in cells if cell[0] in {"vision", "connector", "language", "total"}] == [
            "vision",
            "connector",
            "language",
            "total",
        ]
        assert any(cell[:1] == ["learning rate"] and len(cell) == 4 for cell in cells)
