"""OCRBench. Expected: one value, or (eagle2, vlmevalkit, lmms-eval)."""

import pytest

from data.errors import AerieError
from model.evaluation.rules import verdict

FORMULAS = "Handwritten Mathematical Expression Recognition"

TEXTS = [
    ("CENTRE", "CENTRE", 1),
    ("centre", "CENTRE", 1),
    ("The word is Centre.", "CENTRE", 1),
    ("centr", "CENTRE", 0),
    ("CEN TRE", "CENTRE", 0),
    ("CEN\nTRE", "CEN TRE", 1),
    ("CEN TRE", "CEN\nTRE", 1),
    ("CEN\n\nTRE", "CEN TRE", 0),
    ("  centre  ", " centre ", 1),
    ("epicentres", "centre", 1),  # containment, not words
    ("", "centre", 0),
    ("  ", "centre", 0),
    ("12.50", "12.50", 1),
    ("$12.50", "12.50", 1),
    ("12.5", "12.50", 0),
    ("12.500", "12.50", 1),
    ("1,200", "1200", 0),
    ("01/02/2020", "01/02/2020", 1),
    ("blue", ("red", "blue"), 1),
    ("Blue and Red", ("red", "blue"), 1),
    ("green", ("red", "blue"), 0),
    ("日本語です", "日本語", 1),
    ("ÉTÉ", "été", 1),
    ("a\tb", "a b", 0),
    ("A", "a", 1),
]

FORMULA_CASES = [
    ("x ^ { 2 }", "x^{2}", 1),
    ("x^{2}", "x ^ { 2 }", 1),
    ("x ^ 2", "x^{2}", 0),
    ("X^{2}", "x^{2}", (0, 0, 1)),  # ocrbench/formula-case
    ("X^{2}", "X^{2}", (1, 1, 0)),
    ("\\Delta x", "\\Delta x", (1, 1, 0)),
    ("\\delta x", "\\Delta x", 0),
    ("\\delta x", "\\delta x", 1),
    ("$ x ^ { 2 } $", "x^{2}", 1),
    ("The formula is y = x + 1.", "y=x+1", 1),
    ("y\n=\nx", "y = x", 1),
    ("y\t=x", "y=x", 0),
    ("\\frac { a } { b }", "\\frac{a}{b}", 1),
    ("\\frac{a}{b}", "\\frac{A}{b}", 0),
    ("\\frac{A}{b}", "\\frac{A}{b}", (1, 1, 0)),
    ("", "x", 0),
    ("2 x", ("x y", "2x"), 1),
    ("2 z", ("x y", "2x"), 0),
    ("  a + b  ", "a+b", 1),
    ("\\sqrt { 2 }", "\\sqrt 2", 0),
]


@pytest.mark.parametrize(("output", "answers", "expected"), TEXTS)
def test_texts(check, output, answers, expected):
    check(expected, "ocrbench", output, answers, facts={"type": "Doc-oriented VQA"})


@pytest.mark.parametrize(("output", "answers", "expected"), FORMULA_CASES)
def test_formulas(check, output, answers, expected):
    check(expected, "ocrbench", output, answers, facts={"type": FORMULAS})


def test_type_is_needed(answered):
    with pytest.raises(AerieError, match=r"'q' of 'bench'.*'type'"):
        verdict(answered("ocrbench", "x", "x"), "eagle2")
