"""What a scorer may look at: a raw output beside all that its benchmark knows of the question. No model, no images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answered question of one benchmark.

    `rule` names the way of scoring (`model.evaluation.rules`). `answers` are the references, several where annotators
    gave several (ten in TextVQA). `options` are (letter, text) of a multiple choice. `facts` is what else a rule needs,
    as JSON types: the group of circular or paired questions, a precision, the kind of answer.
    """

    question_id: str
    benchmark: str
    rule: str
    prompt: str
    output: str
    answers: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a rule says of one output.

    `value` in [0, 1], None where only a judge could say and none was asked; `found` is the answer that was read out of
    the output ("" if none was); `note` says in a few words why, where that isn't plain.
    """

    value: float | None
    found: str = ""
    note: str = ""
