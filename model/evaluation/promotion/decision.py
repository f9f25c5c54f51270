"""One line of the comparison, a source, a category or a benchmark, and what is decided about it.

interval above zero                                       better
interval holds zero                                       same
interval below zero, drop within the limit                worse, allowed
interval below zero, drop beyond the limit                regression
non_inferiority: interval not wholly above the limit      regression
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from model.evaluation.promotion.bootstrap import Floats, generator, paired_interval, unpaired_interval
from model.evaluation.promotion.pairing import Pairs, Scored, group_numbers
from model.evaluation.promotion.settings import LineLimits

Level = Literal["source", "category", "benchmark"]
Decision = Literal[
    "better", "same", "worse_allowed", "regression", "new", "gone", "unmatched", "unjudged", "below_minimum"
]
FEW_GROUPS = 20  # percentile intervals of fewer groups are too narrow


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """How intervals are made."""

    confidence: float
    resamples: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The comparison of one source, category or benchmark.

    `score` and `questions` are the candidate's over all its judged questions. `before`, `after`, `difference`, `low`
    and `high` are over what was compared: `shared` questions in `groups` groups; all of each side when `paired` is
    false. None where there is nothing to say. `refused`: this line alone keeps the checkpoint from being accepted.
    """

    level: Level
    name: str
    decision: Decision
    refused: bool
    reason: str
    score: float | None
    questions: int
    shared: int
    groups: int
    paired: bool
    before: float | None
    after: float | None
    difference: float | None
    low: float | None
    high: float | None
    allowed_drop: float
    require: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """Means of both sides and the interval of their difference, None from a single group of questions."""

    before: float
    after: float
    interval: tuple[float, float] | None
    groups: int
    paired: bool

    @property
    def difference(self) -> float:
        return self.after - self.before


def compare_line(level: Level, name: str, pairs: Pairs, limits: LineLimits, chance: Chance, *, refuse: bool) -> Line:
    """Compare and decide.

    `limits` must be complete but for `require` (`PromotionSettings.limits`); `refuse` says what a line means that the
    predecessor alone has, or with other questions.
    """
    score = _mean(_values(pairs.judged)) if pairs.judged else None
    found = _compared(f"{level}/{name}", pairs, chance)
    decision, refused, reason = _decided(pairs, found, limits, chance, refuse)
    if limits.require is not None and (score is None or score < limits.require):
        shown = "was not measured" if score is None else f"is {percent(score)} %"
        decision, refused, reason = (
            "below_minimum",
            True,
            f"the score {shown}, at least {percent(limits.require)} % is required",
        )
    return Line(
        level=level,
        name=name,
        decision=decision,
        refused=refused,
        reason=reason,
        score=score,
        questions=len(pairs.judged),
        shared=len(pairs.shared),
        groups=found.groups if found else 0,
        paired=found is None or found.paired,
        before=found.before if found else None,
        after=found.after if found else None,
        difference=found.difference if found else None,
        low=found.interval[0] if found and found.interval else None,
        high=found.interval[1] if found and found.interval else None,
        allowed_drop=limits.allowed_drop or 0.0,
        require=limits.require,
        notes=_notes(pairs, found),
    )


def confidence_text(confidence: float) -> str:
    """A confidence as per cent; rounded down, since it must not look surer than it is.

    >>> confidence_text(0.95), confidence_text(1 - 0.05 / 9), confidence_text(1 - 0.05 / 190)
    ('95', '99.44', '99.973')
    """
    scale = 10.0 ** max(1 - math.floor(math.log10(100 * (1 - confidence))), 0)
    return f"{math.floor(100 * confidence * scale + 1e-6) / scale:g}"


def percent(value: float) -> str:
    """A share as per cent, without digits that mean nothing.

    >>> percent(0.8131), percent(-0.05)
    ('81.3', '-5.0')
    """
    return f"{100 * value:.1f}"


def _compared(name: str, pairs: Pairs, chance: Chance) -> _Compared | None:
    """None when one side answered nothing."""
    random = generator(chance.seed, name)
    how: dict[str, Any] = {"confidence": chance.confidence, "resamples": chance.resamples, "random": random}
    if pairs.shared:
        after, before = (_values([pair[side] for pair in pairs.shared]) for side in (0, 1))
        groups = group_numbers([pair[0] for pair in pairs.shared])
        interval = paired_interval(after - before, groups, **how)
        count = int(groups.max()) + 1
    elif pairs.only_candidate and pairs.only_predecessor:
        sides = [(_values(rows), group_numbers(rows)) for rows in (pairs.only_candidate, pairs.only_predecessor)]
        (after, one), (before, other) = sides
        interval = unpaired_interval(*sides, **how)
        count = min(int(one.max()), int(other.max())) + 1
    else:
        return None
    return _Compared(
        before=_mean(before), after=_mean(after), interval=interval, groups=count, paired=bool(pairs.shared)
    )


def _decided(
    pairs: Pairs, found: _Compared | None, limits: LineLimits, chance: Chance, refuse: bool
) -> tuple[Decision, bool, str]:
    """Decision, whether it refuses the checkpoint, and why."""
    hint = "" if refuse else "; the recipe allows it (unmatched: allow)"
    if found is None and pairs.only_predecessor:
        return "gone", refuse, f"the predecessor answered {len(pairs.only_predecessor)} questions, this one none{hint}"
    if found is None and pairs.unjudged and not pairs.only_candidate:
        return "unjudged", False, "only a judge can score these answers, and none has read both sides"
    if found is None:
        return "new", False, "the predecessor answered none of these questions"
    if not found.paired:
        return "unmatched", refuse, f"no question is the predecessor's, so nothing can be told apart from chance{hint}"
    allowed, confidence = limits.allowed_drop or 0.0, f"{confidence_text(chance.confidence)} %"
    limit = f"the allowed drop of {percent(allowed)}"
    if limits.evidence == "non_inferiority" and (found.interval is None or found.interval[0] < -allowed):
        return "regression", True, f"the {confidence} interval does not exclude a drop beyond {limit}"
    if found.interval is None:
        return "same", False, "a single group of questions says nothing about chance"
    low, high = found.interval
    if low > 0:
        return "better", False, f"the {confidence} interval lies above zero"
    if high >= 0:
        return "same", False, f"the {confidence} interval holds zero"
    # A difference of 8/10 and 9/10 is not exactly a tenth.
    if -found.difference > allowed + 1e-9:
        return "regression", True, f"the {confidence} interval lies below zero and the drop is beyond {limit}"
    return "worse_allowed", False, f"the {confidence} interval lies below zero, the drop is within {limit}"


def _notes(pairs: Pairs, found: _Compared | None) -> tuple[str, ...]:
    notes = []
    if pairs.shared and pairs.only_candidate:
        notes.append(f"{len(pairs.only_candidate)} questions are new and not compared")
    if pairs.shared and pairs.only_predecessor:
        notes.append(f"{len(pairs.only_predecessor)} questions of the predecessor are gone")
    if pairs.changed:
        notes.append(f"{pairs.changed} shared questions have another prompt, reference or judge than before")
    if pairs.unjudged:
        notes.append(f"{pairs.unjudged} answers have no verdict")
    if found is not None and not found.paired:
        notes.append("not paired: both means vary by themselves")
    if found is not None and 2 <= found.groups < FEW_GROUPS:
        notes.append(f"{found.groups} groups of questions are few: the interval is too narrow")
    return tuple(notes)


def _values(rows: Sequence[Scored]) -> Floats:
    return np.array([row.value for row in rows], dtype=np.float64)


def _mean(values: Floats) -> float:
    return float(values.mean())
