"""HallusionBench, single questions. Expected: what is read, as (eagle2, vlmevalkit, lmms-eval)."""

import pytest

from data.errors import AerieError
from model.evaluation.rules import RULE_SETS, verdict

FACTS = {"category": "VD", "subcategory": "chart", "set_id": "1", "figure_id": "1", "question_id": "0"}

READ = [
    ("Yes", "yes", "yes", "yes"),
    ("yes", "yes", "yes", "yes"),
    ("YES", "yes", "yes", "yes"),
    ("Yes.", "yes", "yes", "yes"),
    ("yes!", "yes", "yes", "yes"),
    (" yes\n", "yes", "yes", "yes"),
    ("**Yes**", "yes", "", "yes"),  # asterisks are no punctuation to VLMEvalKit
    ('"Yes"', "yes", "yes", "yes"),
    ("(yes)", "yes", "yes", "yes"),
    ("No", "no", "no", "no"),
    ("no", "no", "no", "no"),
    ("No.", "no", "no", "no"),
    ("NO!", "no", "no", "no"),
    ("No, it isn't.", "no", "no", "no"),
    ("No,it isn't", "no", "no", "no"),
    ("Yes, it is.", "yes", "yes", "yes"),
    ("Yes, there is no cat.", "yes", "", "yes"),  # hallusion/both-words
    ("No, the answer yes is wrong.", "no", "", "yes"),
    ("No. Yes would be wrong.", "no", "", "yes"),
    ("Yes and no", "yes", "", "yes"),
    ("It may be yes or no", "", "", "yes"),
    ("Either no or yes", "", "", "yes"),
    ("The answer is yes", "yes", "yes", "yes"),
    ("The answer is no", "no", "no", "no"),
    ("The answer is: no.", "no", "no", "no"),
    ("There is no cat", "no", "no", "no"),
    ("It was taken yesterday", "", "", "yes"),
    ("Eyes are seen", "", "", "yes"),
    ("I do not know", "", "", "no"),  # hallusion/neither
    ("Unknown", "", "", "no"),
    ("nope", "", "", "no"),
    ("Nothing is seen", "", "", "no"),
    ("now", "", "", "no"),
    ("It is correct", "", "", "no"),
    ("true", "", "", "no"),
    ("1", "", "", "no"),
    ("", "", "", ""),
    ("   ", "", "", ""),
    ("yes/no", "yes", "", "yes"),
    ("yes yes", "yes", "yes", "yes"),
    ("no-one", "no", "no", "no"),
    ("No one is there, yes", "", "", "yes"),
    ("Yes-no", "yes", "", "yes"),
    ("Oh yes", "yes", "yes", "yes"),
]


@pytest.mark.parametrize(("output", "eagle2", "vlmevalkit", "lmms"), READ)
def test_yes_no(answered, output, eagle2, vlmevalkit, lmms):
    expected = (eagle2, vlmevalkit, lmms)
    for answer in ("Yes", "No"):
        row = answered("hallusion", output, answer, facts=FACTS)
        verdicts = [verdict(row, rules) for rules in RULE_SETS]
        assert tuple(one.found for one in verdicts) == expected
        assert [one.value for one in verdicts] == [found == answer.lower() for found in expected]


@pytest.mark.parametrize(("answer", "value"), [("1", 1), ("0", 0), ("yes", 1), ("NO", 0), ("Yes.", 1)])
def test_forms_of_the_reference(check, answer, value):
    check(value, "hallusion", "Yes", answer, facts=FACTS)


@pytest.mark.parametrize(("output", "expected"), [("I can't see a chart", (1, 0, 1)), ("Yes", 0), ("No", 1)])
def test_not_to_know_is_right_without_a_figure(check, output, expected):
    check(expected, "hallusion", output, "No", facts={**FACTS, "category": "VS", "figure_id": "0"})


def test_reference_must_be_yes_or_no(answered):
    with pytest.raises(AerieError, match=r"'q' of 'bench'.*yes or no"):
        verdict(answered("hallusion", "Yes", "maybe", facts=FACTS), "eagle2")
