"""Weaknesses: scores by category, task and kind of image, ranked by what the benchmarks could gain there."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from model.evaluation.predictions import Prediction
from model.evaluation.scorers import SCORERS
from model.evaluation.weaknesses.gains import category_weights
from model.evaluation.weaknesses.intervals import score_interval
from model.evaluation.weaknesses.kinds import IMAGES_OF_CATEGORY, ImageType, Skill, skill_of

FEW_QUESTIONS = 10  # a cell with fewer is no level that others could be held to
Key = tuple[str, str, ImageType]
ScoreOf = Callable[[Prediction], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weakness:
    """One cell of the results; scores are means in [0, 1].

    `low` and `high` bound the score at 95 %. `majority` and `blind` score the most frequent training answer and the
    model with blanked images, None where that was not measured; `chance` is 1 over the number of options. `best` names
    the cell of the same skill or kind of image that scores highest, "" when none scores higher. `expected_gain` is in
    points (0 to 100) of the average over benchmarks: what is surely missing to a perfect score, times the share of the
    average that hangs on the category, times the cell's share of the category's questions.
    """

    category: str
    task: str
    image_type: ImageType
    skill: Skill
    sources: tuple[str, ...]
    questions: int
    samples: int
    score: float
    low: float
    high: float
    majority: float | None
    blind: float | None
    chance: float | None
    best: str = ""
    best_score: float | None = None
    expected_gain: float = 0.0

    @property
    def key(self) -> Key:
        """What makes the cell: category, task, kind of image."""
        return self.category, self.task, self.image_type

    @property
    def name(self) -> str:
        """Task and kind of image, as a reader would say it."""
        return self.task if self.image_type == "none" else f"{self.task} ({self.image_type})"

    @property
    def baseline(self) -> float | None:
        """The best that needs no look at the image, or a guess; None when no baseline was measured."""
        known = [value for value in (self.majority, self.blind, self.chance) if value is not None]
        return max(known) if known else None

    @property
    def gap_to_baseline(self) -> float | None:
        """Score minus baseline; negative below it."""
        return None if self.baseline is None else self.score - self.baseline

    @property
    def gap_to_best(self) -> float | None:
        """How far the best comparable cell is ahead."""
        return None if self.best_score is None else self.best_score - self.score

    @property
    def guesses(self) -> bool:
        """True when the score can't be told from what needs no look at the image."""
        return self.baseline is not None and self.low <= self.baseline

    def document(self) -> dict[str, Any]:
        """Plain values for JSON, with the gaps."""
        gaps = {"gap_to_baseline": self.gap_to_baseline, "gap_to_best": self.gap_to_best, "guesses": self.guesses}
        return {**asdict(self), **gaps}


def own_rule(prediction: Prediction) -> float | None:
    """The score by the prediction's own rule, the best over its references; None for a rule that isn't scored here."""
    scorer = SCORERS.get(prediction.rule)  # type: ignore[call-overload]
    if scorer is None:
        return None
    return max(scorer(prediction.output, answer) for answer in prediction.answers or (prediction.answer,))


def weaknesses(
    predictions: Iterable[Prediction],
    *,
    image_types: Mapping[str, ImageType] | None = None,
    score_of: ScoreOf = own_rule,
    weights: Mapping[str, float] | None = None,
) -> list[Weakness]:
    """Every cell that falls short, the largest expected gain first.

    `predictions` of one checkpoint, blind ones among them. `image_types` by source (`kinds.image_types`); what it lacks
    is told by category. `score_of` gives None for what can't be judged: such rows are left out. `weights` are shares of
    the benchmark average by category (`gains.category_weights`). A question that was asked twice in the same words
    about the same sample, as by two benchmarks, counts once.
    """
    rows: defaultdict[Key, list[Prediction]] = defaultdict(list)
    for prediction in _distinct(predictions):
        rows[_key(prediction, image_types or {})].append(prediction)
    found = [cell for key, some in sorted(rows.items()) if (cell := _cell(key, some, score_of)) is not None]
    asked: defaultdict[str, int] = defaultdict(int)
    for cell in found:
        asked[cell.category] += cell.questions
    weights = category_weights() if weights is None else weights
    ranked = [
        _compared(replace(cell, expected_gain=_gain(cell, asked[cell.category], weights)), found) for cell in found
    ]
    short = [cell for cell in ranked if cell.score < 1]
    return sorted(short, key=lambda cell: (-cell.expected_gain, cell.score, cell.category, cell.task, cell.image_type))


def _source(prediction: Prediction) -> str:
    """The source that the sample came from: a local benchmark says it in its facts."""
    return str(prediction.facts.get("source", prediction.source))


def _key(prediction: Prediction, image_types: Mapping[str, ImageType]) -> Key:
    kind = image_types.get(_source(prediction)) or IMAGES_OF_CATEGORY.get(prediction.category, "natural scene")
    return prediction.category, prediction.task, kind


def _distinct(predictions: Iterable[Prediction]) -> list[Prediction]:
    """By id, so that the order in which predictions come changes no last digit."""
    first: dict[tuple[str, str, bool], Prediction] = {}
    for prediction in sorted(predictions, key=lambda one: one.question_id):
        first.setdefault((prediction.sample_id, prediction.prompt, prediction.blind), prediction)
    return list(first.values())


def _cell(key: Key, rows: Sequence[Prediction], score_of: ScoreOf) -> Weakness | None:
    scored = [(row, value) for row in rows if not row.blind and (value := score_of(row)) is not None]
    if not scored:
        return None
    sighted, scores = [row for row, _ in scored], [value for _, value in scored]
    low, high = score_interval(scores, [row.sample_id for row in sighted])
    category, task, kind = key
    return Weakness(
        category=category,
        task=task,
        image_type=kind,
        skill=skill_of(task),
        sources=tuple(sorted({_source(row) for row in sighted})),
        questions=len(sighted),
        samples=len({row.sample_id for row in sighted}),
        score=_mean(scores) or 0.0,
        low=low,
        high=high,
        majority=_mean([score_of(replace(row, output=row.majority)) for row in sighted if row.majority]),
        blind=_mean([score_of(row) for row in rows if row.blind]),
        chance=_mean([1 / len(row.options) for row in sighted if row.options]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _gain(cell: Weakness, asked: int, weights: Mapping[str, float]) -> float:
    """`high`, not the score: what may be chance in few questions is no gain to expect."""
    return 100 * weights.get(cell.category, 0.0) * cell.questions / asked * (1 - cell.high)


def _compared(cell: Weakness, cells: Sequence[Weakness]) -> Weakness:
    """The cell beside the best other of the same skill or kind of image."""
    alike = [
        other
        for other in cells
        if other is not cell
        and other.questions >= FEW_QUESTIONS
        and other.score > cell.score
        and (other.skill == cell.skill or other.image_type == cell.image_type)
    ]
    if not alike:
        return cell
    best = max(alike, key=lambda other: (other.score, other.questions, other.name))
    return replace(cell, best=best.name, best_score=best.score)
