"""Numbers more precise than what they were read from (paper: Figure 5, unsupported numeric precision)."""

import re
from collections.abc import Iterator
from typing import Any

from data.curation.rules import READING
from data.curation.talk import Talk

DEFAULT_DECIMALS = 2  # what a picture commonly prints (prices, percentages) when no number in the sample is known
FACTS = ("chart", "table", "values", "data", "axis", "facts")  # keys of `meta` that hold what the picture prints
DERIVED_DECIMALS = 2  # more than its inputs have: what an average or a ratio may show
DECIMAL = re.compile(r"(?<![\w.])\d[\d,]*\.(\d+)(?![\d]*\.?\w)")
DERIVED = re.compile(r"\b(?:average|mean|ratio|rate|percent(?:age)?|share|proportion|per|divided|deviation)\b", re.I)


def decimals(text: str) -> int:
    """The most decimals of any number in a text: `12.50 and 3` has 2."""
    return max((len(digits) for digits in DECIMAL.findall(text)), default=0)


def numbers_in(value: Any) -> Iterator[str]:
    """Every number in a JSON value as text, booleans apart."""
    if isinstance(value, dict):
        for part in value.values():
            yield from numbers_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from numbers_in(part)
    elif isinstance(value, str):
        yield from re.findall(r"\d[\d,]*(?:\.\d+)?", value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def supported_decimals(question: str, known: int | None) -> int | None:
    """Decimals that an answer may show; None: as many as it likes, because it copies what is printed."""
    if READING.search(question):
        return None
    base = DEFAULT_DECIMALS if known is None else known
    return base + DERIVED_DECIMALS if DERIVED.search(question) else base


def _printed(known: dict[str, Any], questions: list[str]) -> int:
    """Decimals of the sample's facts, where it knows them, or what pictures commonly print; of the questions if more.

    Other numbers of `meta` (row numbers, sizes) and whole numbers of a question (years) say nothing about precision.
    """
    facts = [number for name in FACTS for number in numbers_in(known.get(name))]
    asked = [number for question in questions for number in numbers_in(question)]
    return max([max(map(decimals, facts)) if facts else DEFAULT_DECIMALS, *map(decimals, asked)])


def unsupported_decimals(talk: Talk) -> tuple[int, str]:
    """The largest excess of decimals. Without an image nothing limits what an answer may know."""
    known = talk.known
    precision = known.get("precision")
    if not talk.images and precision is None:
        return 0, ""
    pairs = talk.pairs()
    printed = precision if isinstance(precision, int) else _printed(known, [question for question, _ in pairs])
    excess, worst = 0, ""
    for question, answer in pairs:
        supported = supported_decimals(question, printed)
        beyond = 0 if supported is None else decimals(answer) - supported
        if beyond > excess:
            excess, worst = beyond, f"{answer.strip()!r} has {decimals(answer)} decimals, {supported} are supported"
    return excess, worst
