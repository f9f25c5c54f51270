"""MMMU, choice and open. Expected letters or values: (eagle2, vlmevalkit, lmms-eval)."""

import pytest

from data.errors import AerieError
from model.evaluation.rules import RULE_SETS, verdict

GASES = ("oxygen", "helium", "neon", "argon")
GUESS = "?"  # lmms-eval draws a letter

CHOICES = [
    ("B", "B", "B", "B"),
    ("(B)", "B", "B", "B"),
    ("B.", "B", "B", "B"),
    ("b", "", "", GUESS),
    ("(b)", "", "", GUESS),
    ("B)", "", "B", GUESS),
    ("B. helium", "", "B", "B"),
    ("B: helium", "", "B", GUESS),
    ("B helium", "B", "B", "B"),
    ("'B'", "B", "", "B"),
    ("The answer is B", "B", "B", "B"),
    ("The answer is (B).", "B", "B", "B"),
    ("The answer is B.", "B", "B", "B"),
    ("A B", "B", "", "B"),  # mmmu/several
    ("(A) is wrong, (C) is right", "C", "", "C"),
    ("(C) is right, (A) is wrong", "A", "", "A"),
    ("A is wrong so C is right", "C", "", "C"),
    ("(A) and B", "A", "", "A"),  # brackets outrank
    ("USA is the country", "", "", "A"),  # mmmu/inside-word
    ("NBA is a league", "", "", "A"),
    ("A gas", "A", "A", "A"),
    ("helium", "", "B", GUESS),  # five words or fewer aren't searched
    ("it must be helium", "", "B", GUESS),
    ("I think that it must be helium", "B", "B", "B"),
    ("I think that it must be HELIUM", "B", "B", "B"),
    ("not oxygen, I think it is rather helium", "B", "", "B"),
    ("not helium, I think it is rather oxygen", "A", "", "A"),
    ("nobody can know this from the picture alone", "", "", GUESS),
    ("E", "", "", GUESS),
    ("Cannot tell", "", "", GUESS),
    ("Therefore the answer is C.", "C", "C", "C"),
    ("C\n", "", "C", GUESS),  # the parsers look for a blank after the letter
]

OPEN = [
    ("24", "24", 1),
    ("24.0", "24", 1),
    ("24.004", "24", 1),
    ("24.01", "24", (0, 1, 0)),  # VLMEvalKit: "24" stands in it
    ("124", "24", (0, 1, 0)),
    ("1,200", "1200", (1, 0, 1)),
    ("The answer is 24.", "24", 1),
    ("The answer is 24 cm", "24", 1),
    ("x = 12 * 2 = 24", "24", 1),
    ("so it is 24", "24", 1),
    ("24 is the answer", "24", (0, 1, 0)),  # what follows the key words counts
    ("The result is 2.4e1", "24", (1, 0, 1)),
    ("-24", "24", (0, 1, 0)),
    ("-24", "-24", 1),
    ("25", "24", 0),
    ("A", "24", (0, 1, 0)),  # mmmu/open
    ("B", "24", 0),
    ("Other Answers", "24", 0),
    ("helium", "helium", 1),
    ("Helium", "helium", 1),
    ("It is helium", "helium", 1),
    ("helium is it", "helium", (0, 1, 0)),
    ("a helium balloon", "helium", 1),
    ("heli", "helium", 0),
    ("It is x", "x", 1),
    ("It is xy", "x", (0, 1, 0)),  # a single letter needs a blank at its side
    ("It is x y", "x", 1),
    ("neon", ("helium", "neon"), (1, 0, 1)),  # VLMEvalKit sees the list as one text
    ("argon", ("helium", "neon"), 0),
    ("", "24", 0),
    ("The final answer is 3.14159", "3.14", 1),
    ("Therefore 5", "5", 1),
    ("It could be 7", "7", 1),
    ("First 3.\nThen the total is 8", "8", 1),
    ("The total is 8\nwhich is fine", "8", 1),
    ("0.5", ".5", 1),
    ("50%", "50%", 1),
    ("50", "50%", 0),
]


@pytest.mark.parametrize(("output", "eagle2", "vlmevalkit", "lmms"), CHOICES)
def test_choice(answered, output, eagle2, vlmevalkit, lmms):
    row = answered("mmmu", output, "B", GASES, {"question_type": "multiple-choice"})
    verdicts = [verdict(row, rules) for rules in RULE_SETS]
    found = [one.found for one in verdicts]
    guessed = verdicts[2].note == "guessed by the question's id"
    assert found[:2] == [eagle2, vlmevalkit]
    assert guessed if lmms == GUESS else (found[2], guessed) == (lmms, False)
    assert [one.value for one in verdicts] == [letter == "B" for letter in found]


@pytest.mark.parametrize(("output", "answers", "expected"), OPEN)
def test_open(check, output, answers, expected):
    check(expected, "mmmu", output, answers, facts={"question_type": "open"})


def test_guesses_repeat_and_spread(answered):
    def guess(name):
        row = answered("mmmu", "?", "B", GASES, {"question_type": "multiple-choice"}, question_id=name)
        return verdict(row, "lmms-eval").found

    guesses = [guess(f"q{n}") for n in range(200)]
    assert guesses == [guess(f"q{n}") for n in range(200)]
    assert all(30 <= guesses.count(letter) <= 70 for letter in "ABCD")


def test_question_type_is_checked(answered):
    with pytest.raises(AerieError, match=r"'q' of 'bench'.*'multiple-choice' or 'open', not 'essay'"):
        verdict(answered("mmmu", "B", "B", GASES, {"question_type": "essay"}), "eagle2")
    with pytest.raises(AerieError, match=r"needs the fact 'question_type'"):
        verdict(answered("mmmu", "B", "B", GASES), "eagle2")
