"""Means over benchmarks: the paper's of 13, and OpenCompass' of 8."""

import math
from collections.abc import Mapping
from typing import Any

from data.errors import AerieError
from model.evaluation.benchmarks.cards import AverageCard, average_cards, benchmark_card

EAGLE2, OPENCOMPASS = "eagle2", "opencompass"


def average_card(name: str) -> AverageCard:
    """An average by its name; `AerieError` lists the names when there is none."""
    if name in (cards := average_cards()):
        return cards[name]
    raise AerieError(f"no average {name!r}; there are {list(cards)}")


def missing(scores: Mapping[str, float | None], of: str = EAGLE2) -> tuple[str, ...]:
    """The benchmarks that an average lacks: not run, or not judged (None)."""
    return tuple(name for name in average_card(of).of if scores.get(name) is None)


def average(scores: Mapping[str, float | None], of: str = EAGLE2) -> float | None:
    """The plain mean of an average's benchmarks on 0..100, None while one is missing (`missing` names it).

    `scores` are headline scores by benchmark in each one's own range: OCRBench's 0..1000 is divided by 10 (Eagle 2,
    the 13-benchmark average of its ablations; OpenCompass' leaderboard does the same). `AerieError` on a score out of
    range, as when OCRBench was scaled already and another not.
    """
    for name, score in scores.items():
        maximum = benchmark_card(name).maximum
        if score is not None and not (math.isfinite(score) and 0 <= score <= maximum):
            raise AerieError(f"score {score} of benchmark {name!r} is not in 0..{maximum}")
    if missing(scores, of):
        return None
    names = average_card(of).of
    return math.fsum(float(scores[name] or 0.0) * 100 / benchmark_card(name).maximum for name in names) / len(names)


def averages(scores: Mapping[str, Mapping[str, float | None]]) -> dict[str, Any]:
    """Each average that counts one of the scored benchmarks: by rule set, None while a benchmark is missing, and which.

    `scores` are headline scores by rule set and benchmark; what no average counts may be among them.
    """
    told = {}
    for card in average_cards().values():
        counted = {
            rules: {name: numbers[name] for name in card.of if name in numbers} for rules, numbers in scores.items()
        }
        if any(counted.values()):
            absent = sorted({name for numbers in counted.values() for name in missing(numbers, card.name)})
            means = {rules: average(numbers, card.name) for rules, numbers in counted.items()}
            told[card.name] = {"rules": means, "missing": absent}
    return told
