"""Scores of stored predictions per source, category and task, yes/no and open questions apart, with counts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from model.evaluation.predictions import Prediction
from model.evaluation.scorers import RULES_VERSION, exact_match, metric_of, score

Level = Literal["source", "category", "task"]
LEVELS: tuple[Level, ...] = ("source", "category", "task")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One row of the evaluation table; every number but `questions` is a mean over questions in [0, 1].

    `group` is the name of the source or category, or "source/task". `answer_type` is `all`, `yes_no` or `open`.
    `score` is the mean of each task's own metric (`metrics` names them), `exact` the exact match. `majority` scores
    the majority baseline by the same metrics. `blind` is the score of `blind_questions` questions with blanked
    images, None when they were not asked.
    """

    level: Level
    group: str
    answer_type: str
    questions: int
    score: float
    exact: float
    majority: float
    blind: float | None
    blind_questions: int
    metrics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Scored:
    prediction: Prediction
    score: float
    exact: float
    majority: float


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def group_of(prediction: Prediction, level: Level) -> str:
    """The group that a prediction belongs to on a level."""
    if level == "task":
        return f"{prediction.source}/{prediction.task}"
    return prediction.source if level == "source" else prediction.category


def _scored(prediction: Prediction) -> _Scored:
    task, answer = prediction.task, prediction.answer
    return _Scored(
        prediction,
        score(task, prediction.output, answer),
        exact_match(prediction.output, answer),
        score(task, prediction.majority, answer),
    )


def _cell(level: Level, group: str, answer_type: str, rows: list[_Scored]) -> Cell | None:
    sighted = [row for row in rows if not row.prediction.blind]
    blind = [row.score for row in rows if row.prediction.blind]
    if not sighted:
        return None
    return Cell(
        level=level,
        group=group,
        answer_type=answer_type,
        questions=len(sighted),
        score=_mean([row.score for row in sighted]),
        exact=_mean([row.exact for row in sighted]),
        majority=_mean([row.majority for row in sighted]),
        blind=_mean(blind) if blind else None,
        blind_questions=len(blind),
        metrics=tuple(sorted({metric_of(row.prediction.task) for row in sighted})),
    )


def aggregate(predictions: Iterable[Prediction]) -> list[Cell]:
    """Cells of every level, group and answer type; `yes_no` and `open` stand apart where a group has both."""
    grouped: defaultdict[tuple[Level, str], list[_Scored]] = defaultdict(list)
    for row in map(_scored, predictions):
        for level in LEVELS:
            grouped[level, group_of(row.prediction, level)].append(row)
    cells = []
    for (level, group), rows in sorted(grouped.items(), key=lambda item: (LEVELS.index(item[0][0]), item[0][1])):
        kinds = sorted({row.prediction.answer_type for row in rows}, reverse=True)
        cells.append(_cell(level, group, "all", rows))
        if len(kinds) > 1:
            for kind in kinds:
                cells.append(_cell(level, group, kind, [row for row in rows if row.prediction.answer_type == kind]))
    return [cell for cell in cells if cell is not None]


def headline(cells: Iterable[Cell]) -> dict[str, dict[str, float]]:
    """The few numbers per source that a pipeline logs as metrics; absent where they were not measured."""
    numbers: dict[str, dict[str, float]] = {}
    for cell in cells:
        if cell.level != "source":
            continue
        entry = numbers.setdefault(cell.group, {})
        if cell.answer_type != "all":
            entry[cell.answer_type] = cell.score
            continue
        entry |= {"score": cell.score, "exact": cell.exact, "majority": cell.majority, "questions": cell.questions}
        if cell.blind is not None:
            entry["blind"] = cell.blind
    return numbers


def scores_document(stage: str, checkpoint: str, predictions: Sequence[Prediction], cap: int | None) -> dict[str, Any]:
    """The scores file of one evaluation. `cap` is the limit of samples per source, None when all were asked."""
    cells = aggregate(predictions)
    return {
        "stage": stage,
        "checkpoint": checkpoint,
        "rules_version": RULES_VERSION,
        "max_samples_per_source": cap,
        "questions": sum(not prediction.blind for prediction in predictions),
        "blind_questions": sum(prediction.blind for prediction in predictions),
        "headline": headline(cells),
        "cells": [asdict(cell) for cell in cells],
    }


def read_cells(document: dict[str, Any], level: Level) -> list[Cell]:
    """The cells of one level of a scores file."""
    return [Cell(**{**cell, "metrics": tuple(cell["metrics"])}) for cell in document["cells"] if cell["level"] == level]
