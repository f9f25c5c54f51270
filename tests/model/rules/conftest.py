"""Answered questions in one line, and a check of one case under every rule set."""

import pytest

from model.evaluation.answered import Answered
from model.evaluation.rules import RULE_SETS, verdict

LETTERS = "ABCDEFGH"


@pytest.fixture(scope="session")
def answered():
    """Builds a question; `options` are texts in the order of their letters, `answers` a text or several."""

    def build(rule, output, answers, options=(), facts=None, question_id="q", benchmark="bench", prompt="?"):
        return Answered(
            question_id=question_id,
            benchmark=benchmark,
            rule=rule,
            prompt=prompt,
            output=output,
            answers=(answers,) if isinstance(answers, str) else tuple(answers),
            options=tuple(zip(LETTERS, options, strict=False)),
            facts=facts or {},
        )

    return build


@pytest.fixture(scope="session")
def check(answered):
    """Checks the values of one case: `expected` is one number for every rule set, or three in their order."""

    def run(expected, *args, **kwargs):
        row = answered(*args, **kwargs)
        wanted = expected if isinstance(expected, tuple) else (expected,) * len(RULE_SETS)
        found = tuple(verdict(row, rules).value for rules in RULE_SETS)
        assert found == pytest.approx(wanted), f"{row.output!r}: {[verdict(row, rules) for rules in RULE_SETS]}"

    return run
