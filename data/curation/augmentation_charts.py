"""Questions about a chart's shown values. Answers are exact in the printed figures."""

import random
from decimal import ROUND_HALF_UP, Decimal
from itertools import combinations

from data.curation.added_turns import AddedTurn, tasks_of, unless_asked
from data.curation.augmentation_facts import Point, chart_of, plain, written
from data.schema import Sample


def chart_compare(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """Which of two shown values is higher or lower. The two must differ as printed, and so must their labels."""
    chart = chart_of(sample)
    points = chart.points if chart else ()
    distinct = [
        (one, other)
        for one, other in combinations(points, 2)
        if one[1] != other[1] and plain(one[0]) != plain(other[0])
    ]
    if chart is None or not distinct:
        return None
    pair = list(rng.choice(distinct))
    rng.shuffle(pair)  # the answer stands first and last equally often
    direction = rng.choice(("higher", "lower"))
    answer = (max if direction == "higher" else min)(pair, key=lambda point: point[1])[0]
    return AddedTurn(
        question=f"Which {chart.x} has the {direction} {chart.y}, {pair[0][0]} or {pair[1][0]}?",
        answer=answer,
        task="compare",
        inputs={"direction": direction, "values": shown(pair)},
    )


def chart_max(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """The mark with the highest value."""
    words = ("Which {x} has the highest {y}?", "For which {x} is {y} highest?", "Which {x} shows the largest {y}?")
    return _extreme(sample, rng, "max", words)


def chart_min(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """The mark with the lowest value."""
    words = ("Which {x} has the lowest {y}?", "For which {x} is {y} lowest?", "Which {x} shows the smallest {y}?")
    return _extreme(sample, rng, "min", words)


def _extreme(sample: Sample, rng: random.Random, task: str, words: tuple[str, ...]) -> AddedTurn | None:
    """Not where the conversation asks for it already; not on a tie, or when a mark has no value of its own."""
    chart = chart_of(sample)
    if chart is None or not chart.whole or task in tasks_of(sample):
        return None
    name = extreme_of(chart.points, task)
    if name is None:
        return None
    question = rng.choice(words).format(x=chart.x, y=chart.y)
    return AddedTurn(question=question, answer=name, task=task, inputs={"values": shown(chart.points)})


def chart_difference(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """By how much two shown values differ."""
    chart = chart_of(sample)
    if chart is None:
        return None
    one, two = rng.sample(chart.points, 2)
    words = ("What is the difference in {y} between {a} and {b}?", "By how much do {a} and {b} differ in {y}?")
    question = rng.choice(words).format(y=chart.y, a=one[0], b=two[0])
    gap = written(abs(one[1] - two[1]))
    return unless_asked(sample, question, gap, "difference", {"values": shown((one, two))})


def chart_sum(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """The sum of two or three shown values."""
    chart = chart_of(sample)
    if chart is None:
        return None
    points = rng.sample(chart.points, min(len(chart.points), rng.choice((2, 3))))
    names = ", ".join(name for name, _ in points[:-1]) + f" and {points[-1][0]}"
    words = ("What is the sum of {y} for {names}?", "What do {names} add up to in {y}?")
    question = rng.choice(words).format(y=chart.y, names=names)
    total = sum((value for _, value in points), Decimal(0))
    return unless_asked(sample, question, written(total), "sum", {"values": shown(points)})


def chart_average(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """The mean of all shown values, to one decimal more than they are printed with."""
    chart = chart_of(sample)
    if chart is None or not chart.whole or "average" in tasks_of(sample):
        return None
    answer, digits = mean_of(chart.points)
    words = (
        "What is the average {y} over all {n} marks, to {places}?",
        "What is the mean of the {n} values of {y}, to {places}?",
    )
    question = rng.choice(words).format(y=chart.y, n=len(chart.points), places=places(digits))
    return AddedTurn(question=question, answer=answer, task="average", inputs={"values": shown(chart.points)})


def chart_trend(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """Whether the last value of a series is above or below its first."""
    chart = chart_of(sample)
    if chart is None or not chart.ordered or not chart.whole or "trend" in tasks_of(sample):
        return None
    (first, start), (last, end) = chart.points[0], chart.points[-1]
    answer = "rise" if end > start else "fall" if end < start else "stay the same"
    words = (
        "Does {y} rise, fall or stay the same from {a} to {b}?",
        "From {a} to {b}, does {y} rise, fall or stay the same?",
    )
    question = rng.choice(words).format(y=chart.y, a=first, b=last)
    return AddedTurn(question=question, answer=answer, task="trend", inputs={"values": shown(chart.points)})


def chart_count_above(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """How many marks are higher than a named one."""
    chart = chart_of(sample)
    if chart is None or not chart.whole or len(chart.points) < 3:
        return None
    name, value = rng.choice(chart.points)
    words = ("How many marks show a higher {y} than {name}?", "In {y}, how many marks are above {name}?")
    question = rng.choice(words).format(y=chart.y, name=name)
    above = str(sum(other > value for _, other in chart.points))
    return unless_asked(sample, question, above, "count_above", {"values": shown(chart.points)})


def shown(points: tuple[Point, ...] | list[Point]) -> dict[str, str]:
    """Values by name, for the provenance."""
    return {name: str(value) for name, value in points}


def extreme_of(points: tuple[Point, ...], task: str) -> str | None:
    """The name of the highest (`max`) or lowest value; None when two share it."""
    ranked = sorted(points, key=lambda point: point[1], reverse=task == "max")
    return None if ranked[0][1] == ranked[1][1] else ranked[0][0]


def mean_of(points: tuple[Point, ...]) -> tuple[str, int]:
    """The mean as text and its decimals: one more than the values have; a half is rounded away from zero."""
    exponents = [value.as_tuple().exponent for _, value in points]
    digits = max(-exponent for exponent in (*exponents, 0) if isinstance(exponent, int)) + 1
    mean = sum((value for _, value in points), Decimal(0)) / len(points)
    return f"{mean.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP) + 0:f}", digits


def places(digits: int) -> str:
    """`1 decimal`, `2 decimals`."""
    return f"{digits} decimal{'s' if digits > 1 else ''}"
