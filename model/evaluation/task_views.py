"""What single tasks show in the KFP UI: a stage's training curves as a page, an evaluation's scores as a table."""

from typing import Any

from data.files import join
from data.reporting.html import Page, render_page
from data.reporting.markdown import markdown_table
from model.evaluation.rules import RULE_SETS
from model.evaluation.run_folder import RunFolder
from model.evaluation.scored import final_score
from model.evaluation.scores import read_cells
from model.evaluation.sections.benchmarks import points, state
from model.evaluation.sections.scoreboard import STAGE_NAMES
from model.evaluation.sections.training import training_section

KINDS = {"all": "all", "yes_no": "yes/no", "open": "open"}


def training_page(recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str, stage: str) -> bytes:
    """A self-contained page with the curves of one trained stage."""
    run = RunFolder.open(recipe_uri, recipe_sha256, join(storage_uri, run_id))
    return render_page(
        Page(
            title=f"{STAGE_NAMES[stage]} of {run.recipe.name}",
            subtitle=f"Run {run.run_id}, seed {run.recipe.seed}, recipe {run.recipe.sha256[:12]}",
            sections=(training_section(run, (stage,)),),
            footer="Written by Aerie. The page holds everything it shows; it loads nothing and runs no script.",
        )
    )


def scores_markdown(document: dict[str, Any]) -> str:
    """The scores file of one evaluation as a table in Markdown, in percent."""
    rows = [
        (
            cell.group,
            KINDS[cell.answer_type],
            f"{cell.questions:,}",
            *(_percent(value) for value in (cell.score, cell.exact, cell.majority, cell.blind)),
        )
        for cell in read_cells(document, "source")
    ]
    title = f"# Held-out scores after {STAGE_NAMES[document['stage']].lower()}, %"
    headers = ("source", "kind", "asked", "score", "exact match", "majority", "blind")
    return f"{title}\n\n{markdown_table(headers, rows)}{_benchmarks_markdown(document)}"


def judging_markdown(document: dict[str, Any]) -> str:
    """What a judge was asked, and the public benchmarks' scores with its verdicts."""
    told = document["judging"]
    if told["judge"] is None:
        return f"No answer was put before a judge.{_benchmarks_markdown(document)}"
    rows = [
        (name, f"{entry['asked']:,}", f"{entry['judged']:,}", "; ".join(entry["not_judged"]))
        for name, entry in told["benchmarks"].items()
    ]
    title = f"# Judged by {told['judge']['model']}"
    table = markdown_table(("benchmark", "answers", "with a verdict", "why not all"), rows)
    return f"{title}\n\n{table}{_benchmarks_markdown(document)}"


def _benchmarks_markdown(document: dict[str, Any]) -> str:
    """Public benchmarks, if the recipe asks any: those asked, then those that were not run."""
    if "not_run" not in document:
        return ""
    asked = [row for row in document["benchmarks"] if "of" in row]
    rows = [
        (
            row["benchmark"],
            f"{row['questions']:,} of {row['of']:,}",
            *(points(final_score(row["rules"][name])) for name in RULE_SETS),
            state(row),
        )
        for row in asked
    ]
    rows += [(name, "–", *["–"] * len(RULE_SETS), f"not run: {why}") for name, why in document["not_run"].items()]
    return f"\n\n# Public benchmarks, points\n\n{markdown_table(('benchmark', 'asked', *RULE_SETS, 'note'), rows)}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
