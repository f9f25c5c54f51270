"""Charts: ChartQA's shape, calculations (MathVista's) and counts, all from the table that a chart shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from random import Random
from typing import Any

from data.registry.rows import seeded_rank
from data.schema import Sample
from model.evaluation.local.asking import Asking
from model.evaluation.questions import Question

CHART_TASKS = frozenset({"value_at", "difference", "max", "min", "trend"})
MARKS = {"bar": "bars", "line": "points"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTable:
    """What a chart shows: labels and values as printed, so that each answer can be read off it exactly."""

    kind: str
    x: str
    y: str
    labels: tuple[str, ...]
    values: tuple[Decimal, ...]


def shown_table(sample: Sample) -> ShownTable | None:
    """The table in a sample's `meta.chart`; None where there is none, or none of numbers."""
    chart: Any = sample.meta.get("chart")
    try:
        values = tuple(Decimal(value) for value in chart["values"])
        labels = tuple(map(str, chart["labels"]))
        if len(values) < 2 or len(values) != len(labels) or not all(value.is_finite() for value in values):
            return None
        return ShownTable(kind=chart["kind"], x=str(chart["x"]), y=str(chart["y"]), labels=labels, values=values)
    except (KeyError, TypeError, InvalidOperation):
        return None


def chart_questions(asking: Asking, benchmark: str) -> list[Question]:
    """Rule relaxed: the source's own questions about its charts."""
    return [
        asking.again(benchmark, sample, question, "relaxed")
        for sample, question in asking.pairs
        if question.task in CHART_TASKS and shown_table(sample) is not None
    ]


def math_questions(asking: Asking, benchmark: str) -> list[Question]:
    """Rule mathvista, free form: a sum, a range and a mean over the values of each chart."""
    questions = []
    for sample, table in _tables(asking):
        rng = Random(seeded_rank(asking.seed, benchmark, sample.sample_id))
        for key, text, value, task in _calculations(table, rng):
            answer, facts = _free_form(value)
            questions.append(asking.anew(benchmark, sample, key, (text, answer, task), "mathvista", facts=facts))
    return questions


def count_questions(asking: Asking, benchmark: str) -> list[Question]:
    """Rule count: words of a text, marks of a chart, and marks above a value that the chart shows."""
    questions = [
        asking.again(benchmark, sample, question, "count")
        for sample, question in asking.pairs
        if question.task == "count_words"
    ]
    for sample, table in _tables(asking):
        marks = MARKS.get(table.kind, "values")
        pair = (f"How many {marks} does the chart show?", str(len(table.values)), "count")
        questions.append(asking.anew(benchmark, sample, "marks", pair, "count"))
        rng = Random(seeded_rank(asking.seed, benchmark, sample.sample_id))
        limit = rng.choice(table.values)
        above = sum(value > limit for value in table.values)
        pair = (f"How many {marks} are above {limit:f}?", str(above), "count")
        questions.append(asking.anew(benchmark, sample, "above", pair, "count"))
    return questions


def _tables(asking: Asking) -> Iterator[tuple[Sample, ShownTable]]:
    for sample in asking.samples:
        if (table := shown_table(sample)) is not None:
            yield sample, table


def _calculations(table: ShownTable, rng: Random) -> Iterator[tuple[str, str, Decimal, str]]:
    """(key, question, value, task). A mean only where one decimal writes it exactly: rounding must decide nothing."""
    one, other = rng.sample(range(len(table.values)), 2)
    names = f"{table.labels[one]} and {table.labels[other]}"
    yield "sum", f"What is the sum of {table.y} for {names}?", table.values[one] + table.values[other], "total"
    spread = max(table.values) - min(table.values)
    yield "range", f"How far apart are the highest and the lowest {table.y}?", spread, "difference"
    tenths = sum(table.values, Decimal(0)) * 10
    if tenths % len(table.values) == 0:
        yield (
            "mean",
            f"What is the mean of {table.y} over all values shown?",
            tenths / len(table.values) / 10,
            "average",
        )


def _free_form(value: Decimal) -> tuple[str, dict[str, Any]]:
    """The answer as MathVista writes one, and the facts that its scorer needs (Lu et al. 2024)."""
    kind = {"question_type": "free_form", "unit": None}
    plain = value.normalize()
    if plain == plain.to_integral_value():
        return f"{plain:f}", {**kind, "answer_type": "integer", "precision": None}
    text = f"{plain:f}"
    return text, {**kind, "answer_type": "float", "precision": len(text.partition(".")[2])}
