"""Tables for the terminal: steps and results."""

import io

from rich.console import Console

from pipelines.console import StepResult
from pipelines.tables import show_steps, show_summary


def shown(show, *arguments, width: int = 200) -> list[list[str]]:
    """The cells of each printed line."""
    console = Console(file=io.StringIO(), width=width)
    show(*arguments, console)
    lines = console.file.getvalue().splitlines()
    return [[cell.strip() for cell in line.strip("│┃ ").replace("┃", "│").split("│")] for line in lines]


def score_row(answer_type: str, stages: list[float | None], blind: float | None) -> dict:
    return {
        "group": "text-questions", "answer_type": answer_type, "questions": 9673, "majority": 0.34, "blind": blind,
        "stages": dict(zip(("stage_1", "stage_1_5", "stage_2"), stages, strict=True)),
    }  # fmt: skip


SUMMARY = {
    "evaluation": [score_row("all", [0.1, 0.5, 0.912], 0.5), score_row("yes_no", [None, 0.6, 1.0], None)],
    "promotion": {"verdict": "accepted", "text": "No source fell [by more] than allowed."},
    "ledger": {"total": {"read": 7000, "added": 5, "trained": 6990, "lost": 15}},
}


def test_results_stand_in_per_cent_with_the_answer_types_below_their_source_and_the_ledger_last():
    cells = shown(show_summary, SUMMARY)
    assert ["source", "kind", "asked", "majority", "blind", "1", "1.5", "2"] in cells
    assert ["text-questions", "all", "9,673", "34.0", "50.0", "10.0", "50.0", "91.2"] in cells
    assert ["yes/no", "9,673", "34.0", "–", "–", "60.0", "100.0"] in cells
    assert ["Promotion: accepted. No source fell [by more] than allowed."] in cells
    assert cells[-1] == ["Ledger: 7,000 rows read + 5 added = 6,990 trained + 15 dropped"]


def test_public_benchmarks_are_told_where_a_recipe_asks_them():
    asked = [
        {"benchmark": "chartqa", "rules": {"eagle2": {"score": 66.66}}, "judged": True},
        {"benchmark": "mmvet", "rules": {"eagle2": {}}, "judged": False},
    ]
    lines = shown(show_summary, SUMMARY | {"public_benchmarks": {"asked": asked, "not_run": {"docvqa": "no data"}}})
    assert ["Public benchmarks, points: chartqa 66.7, mmvet unjudged"] in lines
    assert ["Not run for want of data: docvqa"] in lines


def test_nothing_is_cut_on_a_terminal_of_80_columns():
    cells = shown(show_summary, SUMMARY, width=80)
    assert ["text-questions", "all", "9,673", "34.0", "50.0", "10.0", "50.0", "91.2"] in cells
    assert not any("…" in cell for line in cells for cell in line)


def test_kept_steps_are_marked():
    results = [StepResult(step="gate", seconds=1.26, mib=120.4, rows=7, reused=reused) for reused in (False, True)]
    cells = shown(show_steps, results)
    assert ["gate", "1.3", "120", "7"] in cells
    assert ["gate", "1.3", "120", "7", "kept"] in cells
