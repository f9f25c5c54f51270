"""MathVista. Expected: one value, or (eagle2, vlmevalkit, lmms-eval)."""

import pytest

from data.errors import AerieError
from model.evaluation.rules import verdict

INTEGER = [
    ("14", "14", 1),
    (" 14 ", "14", 1),
    ("14.0", "14", (1, 0, 1)),  # mathvista/integer: int("14.0") fails
    ("The number missing is 14.", "14", 1),
    ("The answer is 14", "14", 1),
    ("Answer: 14", "14", 1),
    ("\\boxed{14}", "14", 1),
    ("3 + 11 = 14", "14", 1),
    ("1,400", "1400", 1),
    ("-14", "-14", 1),
    ("-14", "14", 0),
    ("15", "14", 0),
    ("14 or 15", "14", 0),
    ("fourteen", "14", 0),
    ("", "14", 0),
    ("14 cm", "14", 1),
    ("$14", "14", 1),
    ("There are 14 cats and 14 dogs", "14", 1),
    ("There are 14 cats and 3 dogs", "14", 0),
    ("There are 14 cats and 3 dogs. The answer is 14.", "14", 1),
    ("14.9", "14", (1, 0, 1)),  # int(float(x)), as in the official script
]

FLOAT = [
    ("0.6", "0.6", 1),
    ("0.60", "0.6", 1),
    (".6", "0.6", 1),
    ("0.64", "0.6", (1, 0, 1)),  # mathvista/float
    ("0.649", "0.6", (1, 0, 1)),
    ("0.65", "0.6", 0),
    ("0.66", "0.6", 0),
    ("The fraction is 0.6.", "0.6", 1),
    ("0.6", "0.60", (1, 1, 0)),  # compared as texts
    ("6e-1", "0.6", 1),
    ("3/5", "0.6", 0),
    ("60%", "0.6", 0),
    ("1", "1.0", 1),
    ("nan", "0.6", 0),
]

LIST = [
    ("[2007, 2008]", "[2007, 2008]", (1, 0, 1)),  # mathvista/list
    ("[2007,2008]", "[2007, 2008]", (1, 0, 0)),
    ("[2007.0, 2008.0]", "[2007, 2008]", (1, 0, 0)),
    ("The years are [2007, 2008].", "[2007, 2008]", (1, 0, 1)),
    ("[2008, 2007]", "[2007, 2008]", 0),
    ("[2007]", "[2007, 2008]", 0),
    ("2007 and 2008", "[2007, 2008]", 0),
    ("Answer: [2007, 2008]", "[2007, 2008]", (1, 0, 1)),
    ("['Red', 'blue']", "['red', 'blue']", (1, 0, 0)),
    ("[]", "[2007, 2008]", 0),
]

CHOICE = [  # options A 3/11, B 8/11, C 6/11, D 3/5; B is right
    ("B", 1),
    ("(B)", 1),
    ("(B) 8/11", 1),
    ("B. 8/11", 1),
    ("8/11", 1),
    ("The correct answer is (B) 8/11.", 1),
    ("The answer is B.", 1),
    ("b", 1),
    ("C", 0),
    ("B or C", 0),
    ("8/12", 0),  # nothing is read; the most similar text to "" is the shortest, D
    ("It is eight elevenths", 0),
    ("A bird", 0),
    ("", 0),
]


def free(kind, **more):
    return {"question_type": "free_form", "answer_type": kind, **more}


@pytest.mark.parametrize(("output", "answer", "expected"), INTEGER)
def test_integer(check, output, answer, expected):
    check(expected, "mathvista", output, answer, facts=free("integer"))


@pytest.mark.parametrize(("output", "answer", "expected"), FLOAT)
def test_float(check, output, answer, expected):
    check(expected, "mathvista", output, answer, facts=free("float", precision=1.0))


@pytest.mark.parametrize(("output", "answer", "expected"), LIST)
def test_list(check, output, answer, expected):
    check(expected, "mathvista", output, answer, facts=free("list"))


@pytest.mark.parametrize(("output", "expected"), CHOICE)
@pytest.mark.parametrize("answer", ["B", "8/11"])
def test_choice(check, output, answer, expected):
    facts = {"question_type": "multi_choice", "answer_type": "text"}
    check(expected, "mathvista", output, answer, ("3/11", "8/11", "6/11", "3/5"), facts)


@pytest.mark.parametrize(
    ("output", "answer", "precision", "expected"),
    [("1.45", "1.45", 2, 1), ("1.454", "1.45", 2, (1, 0, 1)), ("1.4", "1.45", 2, 0), ("1.44", "1.4", None, (1, 0, 1))],
)
def test_precision(check, output, answer, precision, expected):
    check(expected, "mathvista", output, answer, facts=free("float", precision=precision))


def test_unit_digits_are_no_answer(check):
    check(1, "mathvista", "It is 5 x 10^3 m", "5", facts=free("integer", unit="x 10^3 m"))
    check(0, "mathvista", "It is 5 x 10^3 m", "5", facts=free("integer"))


def test_extraction_of_a_judge_comes_first(check, answered):
    facts = free("integer", extracted="14")
    check(1, "mathvista", "between 13 and 15, so fourteen", "14", facts=facts)
    assert verdict(answered("mathvista", "fourteen", "14", facts=facts), "eagle2").note == "extracted by a judge"
    choice = {"question_type": "multi_choice", "answer_type": "text", "extracted": "8/12"}
    # mathvista/choice: the most similar option counts for lmms-eval only
    check((0, 0, 1), "mathvista", "eight twelfths", "B", ("3/11", "8/11", "6/11", "3/5"), choice)


def test_extraction_by_rule_is_said(answered):
    row = answered("mathvista", "It is 14.", "14", facts=free("integer"))
    assert "by rule" in verdict(row, "vlmevalkit").note
    assert verdict(answered("mathvista", "14", "14", facts=free("integer")), "vlmevalkit").note == ""


@pytest.mark.parametrize(
    "facts", [{"question_type": "essay"}, free("complex"), {"question_type": "free_form"}, {"answer_type": "integer"}]
)
def test_bad_facts_are_named(answered, facts):
    with pytest.raises(AerieError, match=r"'q' of 'bench'.*(question_type|answer_type)"):
        verdict(answered("mathvista", "14", "14", facts=facts), "eagle2")
