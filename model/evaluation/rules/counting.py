"""Counts of things in an image.

eagle2: exactly one whole number (digits, or a word up to twenty) in the output; it must equal the reference.
vlmevalkit: `CountBenchQA.evaluate`: the reference is a substring of the output, so "13" is right where 3 is asked.
lmms-eval: `tasks/countbench/utils.py`: the whole output must be the number, as digits or as a word up to twenty.
"""

import re

from data.errors import AerieError
from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.common import RuleSet, hit, named
from model.evaluation.scorers import as_number

_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
NUMBER_WORDS = {word: number for number, word in enumerate(_WORDS.split())} | {"none": 0}
_COUNT = re.compile(r"(?<![\w.,-])(?:\d[\d,]*\.?\d*|[a-z]+)(?![\w-])", re.IGNORECASE)


def _count(text: str) -> float | None:
    word = NUMBER_WORDS.get(text.strip().lower().removesuffix("."))
    return as_number(text) if word is None else float(word)


def read_count(output: str) -> float | None:
    """The one count that an output names, None if it names none or several.

    >>> read_count("There are three dogs."), read_count("3 dogs and 2 cats")
    (3.0, None)
    """
    whole = _count(output)
    if whole is not None:
        return whole
    counts = {_count(word.rstrip(".,")) for word in _COUNT.findall(output)} - {None}
    return counts.pop() if len(counts) == 1 else None


def _lmms_count(text: str) -> str:
    plain = text.strip().lower()
    return str(NUMBER_WORDS.get(plain, plain))


def count_verdict(row: Answered, rules: RuleSet) -> Verdict:
    """Right when the count equals a reference; every reference must be a number."""
    targets = {_count(answer) for answer in row.answers}
    if None in targets:
        raise AerieError(f"{named(row)}: rule 'count' needs numbers as references, not {row.answers}")
    if rules == "vlmevalkit":
        return hit(any(answer in row.output for answer in row.answers), row.output.strip())
    if rules == "lmms-eval":
        found = _lmms_count(row.output)
        return hit(found in {_lmms_count(answer) for answer in row.answers}, found)
    count = read_count(row.output)
    return hit(count in targets, "" if count is None else f"{count:g}", "" if count is not None else "not one count")
