"""What else a rule needs of a row: groups of rotated or paired questions, kinds of answers."""

from typing import Any

from data.registry.raw.problems import BadRowError
from model.evaluation.benchmarks.cards import BenchmarkCard
from model.evaluation.benchmarks.records import Row
from model.evaluation.benchmarks.wording import Options

CIRCLE = 1_000_000  # MMBench: the n-th rotated copy of a question has its index plus n times a million


def facts_of(card: BenchmarkCard, row: Row, index: str, options: Options) -> dict[str, Any]:
    """JSON values by name; `BadRowError` when a cell or the index doesn't hold what the rule needs."""
    facts: dict[str, Any] = {name: _cell(row, column) for name, column in row.layout.facts.items()}
    facts |= {name: _extra(row, column) for name, column in row.layout.extra_facts.items()}
    facts |= {name: _part(index, number) for name, number in row.layout.index_parts.items()}
    if card.rule == "circular":
        facts["group"] = _group(index)
    elif card.rule == "mmmu":
        facts["question_type"] = "multiple-choice" if options else "open"
    elif card.rule == "mathvista":
        facts["precision"] = _precision(facts, options)
    return facts


def _cell(row: Row, column: str) -> str:
    if text := row.text(column):
        return text
    raise BadRowError("invalid_row", f"column {column!r} is empty or NaN")


def _extra(row: Row, column: str) -> str | None:
    text = row.text(column)
    return text if text.lower() not in {"", "none", "null"} else None


def _part(index: str, number: int) -> str:
    parts = index.split("_")
    if number >= len(parts):
        raise BadRowError(
            "invalid_row", f"index {index!r} has {len(parts)} parts between underscores, not {number + 1}"
        )
    return parts[number]


def _group(index: str) -> str:
    if not index.isdigit():
        raise BadRowError("invalid_row", f"index {index!r} is no number: rotated copies are told by it")
    return str(int(index) % CIRCLE)


def _precision(facts: dict[str, Any], options: Options) -> float | None:
    """MathVista: the decimals of a float answer as a number; `question_type` must agree with the options."""
    multiple, precision = facts["question_type"] == "multi_choice", facts.get("precision")
    if multiple != bool(options):
        raise BadRowError("invalid_row", f"question_type {facts['question_type']!r} with {len(options)} options")
    try:
        return None if precision is None else float(precision)
    except ValueError:
        raise BadRowError("invalid_row", f"precision {precision!r} is no number") from None
