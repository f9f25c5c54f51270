"""What every rule needs: the names of the rule sets, a question's facts and options, and a draw that repeats."""

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, get_args

from data.errors import AerieError
from model.evaluation.answered import Answered, Verdict
from model.evaluation.scorers import normalised

RuleSet = Literal["eagle2", "vlmevalkit", "lmms-eval"]
RULE_SETS: tuple[RuleSet, ...] = get_args(RuleSet)

_OPTION_LINE = re.compile(r"^\s*\(?([A-Z])[).:]\s+(\S.*?)\s*$", re.MULTILINE)


def named(row: Answered) -> str:
    """How messages name a question."""
    return f"question {row.question_id!r} of {row.benchmark!r}"


def hit(right: bool, found: str, note: str = "") -> Verdict:
    """A verdict of right or wrong."""
    return Verdict(value=float(right), found=found, note=note)


def fact(row: Answered, name: str) -> Any:
    """A fact that the question's rule can't do without."""
    if row.facts.get(name) is None:
        known = ", ".join(sorted(row.facts)) or "none"
        raise AerieError(f"{named(row)}: rule {row.rule!r} needs the fact {name!r}; its facts are: {known}")
    return row.facts[name]


def options_of(row: Answered) -> dict[str, str]:
    """Letter -> text of a multiple choice; read from lines `A. text` of the prompt where `options` is empty."""
    pairs = row.options or tuple(_OPTION_LINE.findall(row.prompt))
    options = dict(pairs)
    if not options or len(options) != len(pairs) or not all(re.fullmatch("[A-Z]", letter) for letter in options):
        raise AerieError(
            f"{named(row)}: rule {row.rule!r} needs options with one capital letter each, all different; "
            f"found {[letter for letter, _ in pairs]}"
        )
    return options


def right_letters(row: Answered, options: dict[str, str]) -> set[str]:
    """The letters that the references name, by letter or by the option's text."""
    letters = {answer.strip().strip("().").upper() for answer in row.answers} & set(options)
    if not letters:
        texts = {normalised(answer) for answer in row.answers}
        letters = {letter for letter, text in options.items() if normalised(text) in texts}
    if not letters:
        raise AerieError(f"{named(row)}: reference {row.answers} is none of the options {sorted(options)}")
    return letters


def drawn(row: Answered, letters: Sequence[str]) -> str:
    """Stands for a tool's random guess: the question's id decides, so that a score repeats and order can't matter."""
    digest = hashlib.sha256(row.question_id.encode()).digest()
    return letters[int.from_bytes(digest[:8]) % len(letters)]


def all_right(places: Iterable[int], verdicts: Sequence[Verdict]) -> bool:
    """Whether every one of these rows is wholly right."""
    return all(verdicts[place].value == 1 for place in places)


def share_all_right(groups: Collection[Sequence[int]], verdicts: Sequence[Verdict]) -> float:
    """The share of groups of rows whose every row is right."""
    return sum(all_right(places, verdicts) for places in groups) / len(groups)
