"""Evaluation: scores per source after each stage beside the baselines, yes/no and open questions apart."""

from typing import Any

from data.reporting.html import Details, Section, Table, Text
from model.evaluation.run_folder import RunFolder
from model.evaluation.scores import Cell as ScoreCell
from model.evaluation.scores import Level, read_cells
from model.evaluation.sections.benchmarks import benchmark_blocks
from model.recipe import STAGES

STAGE_NAMES = {"stage_1": "Stage 1", "stage_1_5": "Stage 1.5", "stage_2": "Stage 2"}


def percent(value: float | None) -> str:
    """A share as per cent with one decimal; a dash where nothing was measured."""
    return "–" if value is None else f"{100 * value:.1f}"


def scoreboard(run: RunFolder, level: Level) -> list[dict[str, Any]]:
    """One row per group and answer type: scores after each stage, the last stage's baselines and counts.

    Groups stand in the order of the recipe's sources.
    """
    documents = {stage: run.scores(stage) for stage in STAGES}
    tables = {
        stage: {_key(cell): cell for cell in read_cells(document, level)} for stage, document in documents.items()
    }
    board = []
    for key, last in tables[STAGES[-1]].items():
        stages = {stage: tables[stage].get(key) for stage in STAGES}
        board.append(
            {
                "group": last.group,
                "answer_type": last.answer_type,
                "metrics": list(last.metrics),
                "questions": last.questions,
                "majority": last.majority,
                "blind": last.blind,
                "blind_questions": last.blind_questions,
                "exact": last.exact,
                "stages": {stage: cell.score if cell else None for stage, cell in stages.items()},
                "stage_questions": {stage: cell.questions if cell else 0 for stage, cell in stages.items()},
            }
        )
    if level == "category":
        place = {category: n for n, category in enumerate(dict.fromkeys(run.cards[s].category for s in run.sources))}
    else:
        place = {source: n for n, source in enumerate(run.sources)}
    return sorted(board, key=lambda row: place.get(row["group"].split("/")[0], len(place)))


def evaluation_section(run: RunFolder) -> Section:
    """The result tables by source, by category and by task."""
    cap = run.recipe.evaluation.max_samples_early_stages
    early = "all of them"
    if cap is not None:
        early = f"the questions of at most {cap} held-out samples per source (seeded choice)"
    return Section(
        title="Evaluation",
        blocks=(
            Text(
                f"Held-out questions asked one at a time, greedy decoding. Stages 1 and 1.5 answer {early}, stage 2 "
                "answers all. Scores are per cent. Majority: the most frequent training answer of the same source "
                "and task. Blind: the stage-2 model with every image blanked. "
                "Exact: the share of stage-2 answers that equal the reference but for case and blanks."
            ),
            _table(scoreboard(run, "source"), "Source"),
            _table(scoreboard(run, "category"), "Category"),
            *benchmark_blocks(run.scores(STAGES[-1])),
            Details(
                summary="Scores of each task",
                blocks=(_table(scoreboard(run, "task"), "Source and task"),),
            ),
        ),
    )


def _key(cell: ScoreCell) -> tuple[str, str]:
    return cell.group, cell.answer_type


def _table(board: list[dict[str, Any]], first: str) -> Table:
    kinds = {"all": "all", "yes_no": "yes/no", "open": "open"}
    return Table(
        headers=(
            first,
            "Questions",
            "Metric",
            "Asked",
            "Majority",
            "Blind",
            *(STAGE_NAMES[stage] for stage in STAGES),
            "Exact",
        ),
        rows=tuple(
            (
                row["group"] if row["answer_type"] == "all" else "",
                kinds[row["answer_type"]],
                ", ".join(row["metrics"]),
                f"{row['questions']:,}",
                percent(row["majority"]),
                percent(row["blind"]),
                *(percent(row["stages"][stage]) for stage in STAGES),
                percent(row["exact"]),
            )
            for row in board
        ),
    )
