"""Rules that add one question with a computed answer to a sample; each reads facts that the adapter left in `meta`."""

import random
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from itertools import combinations
from typing import Any

from data.curation.added_turns import AddedTurn, tasks_of
from data.schema import Sample

__all__ = ["RULES", "VERSION", "AddedTurn", "tasks_of"]

VERSION = 1  # stands in the provenance of every added turn; raise it when a rule changes its questions or answers


def chart_compare(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """Which of two shown values is higher or lower. The two must differ as printed, and so must their labels."""
    chart = sample.meta.get("chart")
    points = _points(chart) if isinstance(chart, dict) else []
    distinct = [
        (one, other) for one, other in combinations(points, 2) if one[1] != other[1] and _plain(one) != _plain(other)
    ]
    if not distinct or not isinstance(chart, dict):
        return None
    pair = list(rng.choice(distinct))
    rng.shuffle(pair)  # the answer stands first and last equally often
    direction = rng.choice(("higher", "lower"))
    answer = (max if direction == "higher" else min)(pair, key=lambda point: point[1])[0]
    return AddedTurn(
        question=f"Which {chart['x']} has the {direction} {chart['y']}, {pair[0][0]} or {pair[1][0]}?",
        answer=answer,
        task="compare",
        inputs={"direction": direction, "values": {label: str(value) for label, value in pair}},
    )


def _points(chart: dict[str, Any]) -> list[tuple[str, Decimal]]:
    """(label, value) of each mark; none when the facts are not whole or a value is not a number."""
    labels, values = chart.get("labels"), chart.get("values")
    if not isinstance(labels, list | tuple) or not isinstance(values, list | tuple) or len(labels) != len(values):
        return []
    if not chart.get("x") or not chart.get("y") or not all(str(label).strip() for label in labels):
        return []
    try:
        numbers = [Decimal(str(value).replace(",", "")) for value in values]
    except InvalidOperation:
        return []
    # A label that two marks share names neither of them.
    plain = [_plain((str(label), Decimal(0))) for label in labels]
    return [
        (str(label), number)
        for label, number, text in zip(labels, numbers, plain, strict=True)
        if number.is_finite() and plain.count(text) == 1
    ]


def _plain(point: tuple[str, Decimal]) -> str:
    return " ".join(point[0].casefold().split())


def digit_parity(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """Whether the digit that is to be read is even or odd."""
    answers = [turn.content.strip() for turn in sample.conversations if turn.role == "assistant"]
    digits = {answer for answer, task in zip(answers, tasks_of(sample), strict=False) if task == "digit"}
    if len(digits) != 1 or not (digit := digits.pop()).isdecimal():
        return None
    answer = "odd" if int(digit) % 2 else "even"
    return AddedTurn(question="Is the digit even or odd?", answer=answer, task="parity", inputs={"digit": digit})


def ocr_count_words(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """How many words the drawn line has; not where the question is there already."""
    text = sample.meta.get("text")
    if not isinstance(text, str) or not text.split() or "count_words" in tasks_of(sample):
        return None
    # The wording of the source that asks this anyway (text_lines): same task, same format.
    return AddedTurn(
        question="How many words are there?",
        answer=str(len(text.split())),
        task="count_words",
        inputs={"text": text},
    )


def describe_shape(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """A caption put together from the answers that the conversation already gives: colour, then shape.

    Most questions of a conversation can be half answered without looking; this one can't.
    """
    answers = [turn.content.strip() for turn in sample.conversations if turn.role == "assistant"]
    known = {task: answer for answer, task in zip(answers, tasks_of(sample), strict=False)}
    if "color" not in known or "shape" not in known:
        return None
    inputs = {"color": known["color"], "shape": known["shape"]}
    return AddedTurn(
        question="Describe the image.", answer=f"{known['color']} {known['shape']}", task="description", inputs=inputs
    )


Rule = Callable[[Sample, random.Random], AddedTurn | None]
RULES: dict[str, Rule] = {
    "chart_compare": chart_compare,
    "describe_shape": describe_shape,
    "digit_parity": digit_parity,
    "ocr_count_words": ocr_count_words,
}
