"""Scored questions of two checkpoints brought together by question, and the groups that belong together."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from data.errors import AerieError
from model.evaluation.predictions import Prediction
from model.evaluation.promotion.bootstrap import Ints
from model.evaluation.scorers import RULES_VERSION, score

Scorer = Callable[[Prediction], float | None]  # a score in [0, 1], None where only a judge could say
LOCAL_RULES = f"local {RULES_VERSION}"


def local_score(prediction: Prediction) -> float:
    """The score of the project's own rules (`model.evaluation.scorers`)."""
    return score(prediction.task, prediction.output, prediction.answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One answered question with its score, None without a verdict; or one unit of a benchmark.

    `ties` names all that it shares with other questions: its sample, its images, its group in the benchmark. `asked`
    is the hash of prompt and references, and of the judge's name where one was asked.
    """

    question_id: str
    source: str
    category: str
    value: float | None
    ties: tuple[str, ...]
    asked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """The questions of one line: those that both checkpoints answered, and those of one alone.

    `judged` are all of the candidate's that have a verdict, whatever the predecessor's have. `changed` counts pairs
    whose prompt, references or judge differ, `unjudged` questions without a verdict (in no list).
    """

    judged: tuple[Scored, ...]
    shared: tuple[tuple[Scored, Scored], ...]  # candidate, predecessor
    only_candidate: tuple[Scored, ...]
    only_predecessor: tuple[Scored, ...]
    changed: int
    unjudged: int


def scored(predictions: Iterable[Prediction], scorer: Scorer) -> list[Scored]:
    """All questions that were asked with their images, sorted; `AerieError` when one stands there twice."""
    rows = [_scored(prediction, scorer(prediction)) for prediction in predictions if not prediction.blind]
    rows.sort(key=lambda row: (row.source, row.question_id))
    for one, other in pairwise(rows):
        if (one.source, one.question_id) == (other.source, other.question_id):
            raise AerieError(f"question {one.question_id} of {one.source!r} was answered twice; evaluate again")
    return rows


def _scored(prediction: Prediction, value: float | None) -> Scored:
    if value is not None and not 0 <= value <= 1:
        raise AerieError(f"question {prediction.question_id} of {prediction.source!r} scores {value}, not in [0, 1]")
    told = json.dumps([prediction.prompt, list(prediction.answers)])
    return Scored(
        question_id=prediction.question_id,
        source=prediction.source,
        category=prediction.category,
        value=value,
        ties=ties_of(prediction),
        asked=hashlib.sha256(told.encode()).hexdigest(),
    )


def ties_of(prediction: Prediction) -> tuple[str, ...]:
    """Names of what an answer shares with others to questions that are right or wrong together."""
    group = prediction.facts.get("group")
    return (
        f"sample {prediction.sample_id}",
        *(f"image {image}" for image in prediction.images),
        *([f"group {group}"] if group is not None else []),
    )


def paired(candidate: Iterable[Scored], predecessor: Iterable[Scored]) -> Pairs:
    """Bring the questions of one line together by source and question id."""
    after, before = _by_question(candidate), _by_question(predecessor)
    both = [key for key in after if key in before]
    pairs = [(after[key], before[key]) for key in both]
    shared = tuple(pair for pair in pairs if all(row.value is not None for row in pair))
    only = [
        [row for key, row in mine.items() if key not in other and row.value is not None]
        for mine, other in ((after, before), (before, after))
    ]
    known = 2 * len(shared) + len(only[0]) + len(only[1])
    return Pairs(
        judged=tuple(row for row in after.values() if row.value is not None),
        shared=shared,
        only_candidate=tuple(only[0]),
        only_predecessor=tuple(only[1]),
        changed=sum(one.asked != other.asked for one, other in shared),
        unjudged=len(after) + len(before) - known,
    )


def _by_question(rows: Iterable[Scored]) -> dict[tuple[str, str], Scored]:
    return {(row.source, row.question_id): row for row in rows}


def group_numbers(rows: Sequence[Scored]) -> Ints:
    """A number from 0 for each question [N], equal for questions that a chain of ties connects."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        parents.setdefault(name, name)
        while parents[name] != name:
            parents[name] = name = parents[parents[name]]
        return name

    for row in rows:
        first, *others = (root(tie) for tie in row.ties)
        for other in others:
            parents[root(other)] = root(first)
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(root(row.ties[0]), len(numbers)) for row in rows], dtype=np.int64)
