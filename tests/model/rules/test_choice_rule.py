"""Multiple choice. Expected: letters as (eagle2, vlmevalkit, lmms-eval's AI2D way); "" where nothing is read."""

import pytest

from data.errors import AerieError
from model.evaluation.rules import RULE_SETS, verdict

ANIMALS = ("cat", "dog", "cow", "dark cow")

LETTERS = [
    ("B", "B", "B", "B"),
    ("b", "B", "", "B"),
    (" B ", "B", "B", ""),  # lmms-eval keeps blanks
    ("B.", "B", "B", "B"),
    ("(B)", "B", "B", "B"),
    ("(b)", "B", "", "B"),
    ("[B]", "B", "B", "B"),
    ("B)", "B", "B", "B"),
    ("B:", "B", "B", "B"),
    ("**B**", "B", "B", "B"),
    ("\\boxed{B}", "B", "B", ""),  # braces are blanks to VLMEvalKit
    ("\\boxed{\\text{B}}", "B", "B", ""),
    ("$\\boxed{B}$", "B", "B", ""),
    ("<answer>B</answer>", "B", "", ""),
    ("B. dog", "B", "B", "B"),
    ("B dog", "B", "B", ""),
    ("b) dog", "B", "B", ""),
    ("(B) dog", "B", "B", ""),
    ("B: dog", "B", "B", ""),
    ("B\n\nThe animal barks.", "B", "B", ""),
    ("B, since A is not valid", "B", "", ""),  # choice/sentence
    ("B because it barks", "B", "B", ""),
    ("Answer: B", "B", "B", ""),
    ("The answer is B.", "B", "B", ""),
    ("The correct answer is (B) dog.", "B", "B", ""),
    ("The correct option is: B", "B", "B", ""),
    ("the answer is option (b)", "B", "", ""),
    ("I would choose B", "B", "B", ""),
    ("It must be B, I think", "B", "B", ""),
    ("B is the letter that I would give as my answer here", "B", "", ""),  # VLMEvalKit: not among the last five words
    ("A is not valid, so B", "B", "", ""),
    ("Not A. It is B.", "B", "", ""),
    ("It isn't B", "", "B", ""),
    ("not B", "", "B", ""),
    ("B is wrong", "", "B", ""),
    ("A or B", "", "", ""),
    ("A and B", "", "", ""),
    ("A, B", "", "", ""),
    ("B, C", "", "", ""),
    ("B/C", "", "", ""),
    ("Both A and B", "", "", ""),
    ("B. The answer is C.", "", "", "B"),
    ("(A) cat (B) dog (C) cow", "", "", ""),  # the options again, no choice
    ("A. cat\nB. dog\nC. cow", "", "", "A"),
    ("A. cat\nB. dog\nC. cow\nAnswer: B", "B", "", "A"),
    ("The answer is B because option A is a cat and C is a cow.", "B", "", ""),
    ("Looking at the picture, the correct answer is: **B. dog**", "B", "B", ""),
    ("B is not correct. The answer is C", "C", "", ""),
    ("I'd go with B.", "B", "B", ""),
    ("Answer: B\nAnswer: C", "", "", ""),
    ("Cannot tell", "", "", ""),  # no C
    ("Cannot determine the answer", "", "Z", ""),  # choice/refusal
    ("Z", "", "Z", ""),
    ("E", "", "", ""),
    ("I don't know", "", "", ""),
    ("I", "", "", ""),
    ("A", "A", "A", "A"),
    ("A cat sits", "A", "A", ""),  # choice/article: eagle2 reads the text "cat"
    ("A bird sits", "", "A", ""),
    ("A bird sits on the big tree", "", "", ""),
    ("I choose A", "A", "A", ""),
    ("Option A.", "A", "A", ""),
    ("A is correct", "A", "A", ""),
    ("A.", "A", "A", "A"),
    ("dog", "B", "B", ""),
    ("Dog.", "B", "B", ""),
    ("It is a dog", "B", "B", ""),
    ("It is not a dog", "", "B", ""),
    ("dogs", "", "B", ""),
    ("a hotdog stand", "", "B", ""),
    ("a cat and a dog", "", "", ""),
    ("dark cow", "D", "", ""),  # VLMEvalKit also finds "cow" in it
    ("It is a dark cow", "D", "", ""),
    ("cow", "C", "C", ""),
    ("It is a dog. " * 10, "B", "", ""),  # choice/option-text: too long for VLMEvalKit
    ("bird", "", "", ""),
    ("B.C.", "", "", "B"),
    ("U.S.A.", "", "A", ""),
    ('"B"', "B", "", "B"),
    ("'B'", "B", "", "B"),
    ("vitamin C", "C", "C", ""),
]


@pytest.mark.parametrize(("output", "eagle2", "vlmevalkit", "lmms"), LETTERS)
def test_letters(answered, output, eagle2, vlmevalkit, lmms):
    row = answered("choice", output, "B", ANIMALS)
    assert tuple(verdict(row, rules).found for rules in RULE_SETS) == (eagle2, vlmevalkit, lmms)
    assert [verdict(row, rules).value for rules in RULE_SETS] == [x == "B" for x in (eagle2, vlmevalkit, lmms)]


MMSTAR = [
    ("B", "B"),
    ("b", "B"),
    ("  B. dog", "B"),
    ("(B) dog", "B"),
    ("option B", "B"),
    ("The answer is B.", "B"),
    ("Answer: B", "A"),  # choice/first-letter
    ("A cat sits", "A"),
    ("Cannot tell", "C"),
    ("dog", "D"),
    ("It is B", ""),
    ("because", "B"),
]


@pytest.mark.parametrize(("output", "letter"), MMSTAR)
def test_lmms_mmstar(answered, output, letter):
    assert verdict(answered("choice", output, "B", ANIMALS, benchmark="MMStar"), "lmms-eval").found == letter


REALWORLDQA = [
    ("B", "B"),
    ("b.", "B"),
    ("B. dog", "B"),
    ("dog", "B"),
    ("It is a hotdog", "B"),
    ("Dog", ""),
    ("(B)", "B"),
    ("Answer: B", ""),
    ("a cat and a dog", "A"),
    ("A dark cow", "D"),  # the leftmost text
]


@pytest.mark.parametrize(("output", "letter"), REALWORLDQA)
def test_lmms_realworldqa(answered, output, letter):
    assert verdict(answered("choice", output, "B", ANIMALS, benchmark="real_world_qa"), "lmms-eval").found == letter


def test_lmms_realworldqa_knows_number_words(answered):
    numbers = answered("choice", "Two", "B", ("1", "2", "3"), benchmark="RealWorldQA")
    assert [verdict(numbers, rules).found for rules in RULE_SETS] == ["", "", "B"]


TEXTS = [
    ("Vitamin C", ("Vitamin C", "Vitamin D", "Iron"), "A"),
    ("It shows Vitamin C", ("Vitamin C", "Vitamin D", "Iron"), "A"),
    ("3", ("1", "3", "5"), "B"),
    ("There are 3.", ("1", "3", "5"), "B"),
    ("3.5", ("3", "3.5"), "B"),
    ("It is 3.5 m", ("3", "3.5"), "B"),
    ("About 13", ("1", "3"), ""),
    ("Yes", ("Yes", "No"), "A"),
    ("No, there is none", ("Yes", "No"), "B"),
    ("same", ("same", "same"), ""),
    ("B", ("B", "A"), "B"),
    ("left", ("left", "to the left"), "A"),
    ("to the left", ("left", "to the left"), "B"),
    ("left or to the left", ("left", "to the left"), ""),
]


@pytest.mark.parametrize(("output", "options", "letter"), TEXTS)
def test_option_texts_read_strictly(answered, output, options, letter):
    assert verdict(answered("choice", output, "A", options), "eagle2").found == letter


def test_reference_may_be_the_text(check):
    check(1, "choice", "B", "dog", ANIMALS)


def test_options_may_stand_in_the_prompt(check):
    check((1, 1, 1), "choice", "B", "B", prompt="Which?\nA. cat\nB. dog\nAnswer with a letter.")


@pytest.mark.parametrize(
    ("answer", "options", "message"),
    [
        ("B", (), "needs options"),
        ("horse", ANIMALS, "is none of the options"),
        ("E", ANIMALS, "is none of the options"),
    ],
)
def test_bad_questions_are_named(answered, answer, options, message):
    with pytest.raises(AerieError, match=rf"'q' of 'bench'.*{message}"):
        verdict(answered("choice", "B", answer, options), "eagle2")
