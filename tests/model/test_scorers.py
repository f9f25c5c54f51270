import pytest

from model.evaluation.scorers import (
    METRIC_OF_TASK,
    SCORERS,
    anls,
    as_number,
    edit_distance,
    exact_match,
    metric_of,
    normalised,
    relaxed_accuracy,
    score,
    token_f1,
)

NORMALISED = [
    ("yes", "yes"),
    ("Yes.", "yes"),
    (" YES ", "yes"),
    ("yes..", "yes."),
    ("yes .", "yes"),
    ("dark  blue", "dark blue"),
    ("dark\n\tblue", "dark blue"),
    ("", ""),
    (".", ""),
    ("3.5", "3.5"),
    ("3.", "3"),
    ("Straße", "strasse"),
    ("a.b.", "a.b"),
    ("yes!", "yes!"),
    ("\u00a0no\u00a0", "no"),
]

EXACT = [
    ("yes", "yes", 1),
    ("Yes", "yes", 1),
    ("yes.", "yes", 1),
    (" yes\n", "yes", 1),
    ("no", "yes", 0),
    ("", "yes", 0),
    ("yes yes", "yes", 0),
    ("dark  blue", "dark blue", 1),
    ("darkblue", "dark blue", 0),
    ("7", "7", 1),
    ("7.0", "7", 0),
    ("7.", "7", 1),
    ("07", "7", 0),
    ("TRIANGLE", "triangle", 1),
    ("the triangle", "triangle", 0),
    ("", "", 1),
]

RELAXED = [
    ("100", "100", 1),
    ("105", "100", 1),
    ("105.01", "100", 0),
    ("95", "100", 1),
    ("94.9", "100", 0),
    ("-100", "100", 0),
    ("-98", "-100", 1),
    ("1,200", "1200", 1),
    ("1200.", "1,200", 1),
    ("12 %", "12%", 1),
    ("0.12", "12%", 1),
    ("12", "12%", 0),
    ("0", "0", 1),
    ("0.0", "0", 1),
    ("0.001", "0", 0),
    ("Oct", "oct", 1),
    ("Nov", "Oct", 0),
    ("about 100", "100", 0),
    ("nan", "100", 0),
    ("inf", "100", 0),
    ("1e2", "100", 1),
    ("", "100", 0),
]

ANLS = [
    ("license", "license", 1.0),
    ("License", "license", 1.0),
    ("licence", "license", 1 - 1 / 7),
    ("icense", "license", 1 - 1 / 7),
    ("", "license", 0.0),
    ("license", "", 0.0),
    ("", "", 1.0),
    ("abcd", "abxy", 0.0),  # distance exactly 0.5 counts as wrong
    ("abcde", "abcxy", 1 - 2 / 5),
    ("ab", "cd", 0.0),
    ("the terms", "the  terms", 1.0),
    ("the terms.", "the terms", 1.0),
    ("the term", "the terms", 1 - 1 / 9),
    ("het terms", "the terms", 1 - 2 / 9),
    ("a", "b", 0.0),
    ("This is software", "this is software", 1.0),
]

F1 = [
    ("I am fine", "I am fine", 1.0),
    ("i am fine!", "I am fine.", 1.0),
    ("fine", "I am fine", 0.5),
    ("I am fine", "fine", 0.5),
    ("hello", "goodbye", 0.0),
    ("", "hello", 0.0),
    ("hello", "", 0.0),
    ("", "", 1.0),
    ("the cat", "a cat", 1.0),
    ("cat cat", "cat", 2 / 3),
    ("cat", "cat cat", 2 / 3),
    ("a b c d", "c d e f", 4 / 7),  # the article of the first is left out
    ("x y", "y x", 1.0),
    ("the", "hello", 0.0),
    ("the", "an", 1.0),
    ("don't", "dont", 1.0),
]


@pytest.mark.parametrize(("text", "expected"), NORMALISED)
def test_normalised(text, expected):
    assert normalised(text) == expected


@pytest.mark.parametrize(("prediction", "answer", "expected"), EXACT)
def test_exact_match(prediction, answer, expected):
    assert exact_match(prediction, answer) == expected


@pytest.mark.parametrize(("prediction", "answer", "expected"), RELAXED)
def test_relaxed_accuracy(prediction, answer, expected):
    assert relaxed_accuracy(prediction, answer) == expected


@pytest.mark.parametrize(("prediction", "answer", "expected"), ANLS)
def test_anls(prediction, answer, expected):
    assert anls(prediction, answer) == pytest.approx(expected)


@pytest.mark.parametrize(("prediction", "answer", "expected"), F1)
def test_token_f1(prediction, answer, expected):
    assert token_f1(prediction, answer) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,234,567", 1234567.0), ("1,23", None), ("-.5", -0.5), ("50%", 0.5), ("5 apples", None), ("", None)],
)
def test_as_number(text, number):
    assert as_number(text) == number


@pytest.mark.parametrize(
    ("left", "right", "distance"), [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("abc", "cab", 2)]
)
def test_edit_distance_is_symmetric(left, right, distance):
    assert edit_distance(left, right) == edit_distance(right, left) == distance


@pytest.mark.parametrize(
    ("task", "prediction", "answer", "expected"),
    [
        ("yes_no", "Yes.", "yes", 1),
        ("value_at", "103", "100", 1),
        ("count_words", "21", "20", 0),  # within 5 %, but counting has to be exact
        ("digit", "8", "8", 1),
        ("line", "licence", "license", 1 - 1 / 7),
        ("dialogue", "fine", "I am fine", 0.5),
        ("a task of a new source", "103", "100", 1),
    ],
)
def test_each_task_has_its_own_metric(task, prediction, answer, expected):
    assert score(task, prediction, answer) == pytest.approx(expected)


def test_every_declared_metric_exists_and_scores_a_perfect_answer_with_one():
    assert set(METRIC_OF_TASK.values()) == set(SCORERS)
    assert all(SCORERS[metric_of(task)]("42", "42") == 1 for task in METRIC_OF_TASK)
