"""Boxes, counts and judged answers. Expected: one value, or (eagle2, vlmevalkit, lmms-eval)."""

import pytest

from data.errors import AerieError
from model.evaluation.rules import verdict

SIZE = {"width": 200, "height": 100}

RAW = [  # no size is known: one unit for both; the reference is [0, 0, 10, 10]
    ("[0, 0, 10, 10]", 1),
    ("[0,0,10,10]", 1),
    ("[0.0, 0.0, 10.0, 10.0]", 1),
    ("[[0, 0, 10, 10]]", 1),
    ("(0, 0, 10, 10)", (1, 1, 0)),  # lmms-eval reads square brackets only
    ("The box is [0, 0, 10, 10].", 1),
    ("[0, 0, 10, 5]", 1),  # IoU exactly 0.5
    ("[0, 0, 10, 4.9]", 0),
    ("[0, 0, 20, 10]", 1),
    ("[0, 0, 20, 11]", 0),
    ("[5, 0, 15, 10]", 0),
    ("[3, 0, 13, 10]", 1),
    ("[20, 20, 30, 30]", 0),
    ("[10, 0, 20, 10]", 0),  # touching
    ("[10, 10, 0, 0]", 0),  # turned round: no area
    ("[0, 0, 0, 0]", 0),
    ("[0, 0, 10]", 0),
    ("0, 0, 10, 10", 0),
    ("no box", 0),
    ("", 0),
    ("[0, 0, 10, 10] [20, 20, 30, 30]", 1),  # the first counts
    ("[20, 20, 30, 30] [0, 0, 10, 10]", 0),
    ("[-5, -5, 10, 10]", 0),
    ("[-1, -1, 10, 10]", 1),
]

SIZED = [  # image 200 x 100, reference [20, 10, 120, 60] in pixels = [0.1, 0.1, 0.6, 0.6]
    ("[20, 10, 120, 60]", (1, 1, 0)),  # iou/unit
    ("[0.1, 0.1, 0.6, 0.6]", 1),
    ("<box>[[100, 100, 600, 600]]</box>", (1, 1, 0)),
    ("<ref>the cat</ref><box>[[100, 100, 600, 600]]</box>", (1, 1, 0)),
    ("[[100, 100, 600, 600]]", 0),  # without <box> these are pixels
    ("[0.1, 0.1, 0.6, 0.35]", 1),
    ("[0.1, 0.1, 0.6, 0.3]", 0),
    ("[0.2, 0.2, 0.6, 0.6]", 1),
    ("[0.5, 0.5, 1, 1]", 0),
    ("[30, 20, 120, 60]", (1, 1, 0)),
    ("[120, 60, 200, 100]", 0),
    ("<box>[[0, 0, 1000, 1000]]</box>", 0),
    ("[0, 0, 1, 1]", 0),
    ("<box>[[120, 120, 600, 600]]</box>", (1, 1, 0)),
]

COUNTS = [
    ("3", "3", 1),
    (" 3 ", "3", 1),
    ("3.", "3", (1, 1, 0)),
    ("3.0", "3", (1, 1, 0)),
    ("three", "3", (1, 0, 1)),
    ("Three", "3", (1, 0, 1)),
    ("Three.", "3", (1, 0, 0)),
    ("three dogs", "3", (1, 0, 0)),
    ("3 dogs", "3", (1, 1, 0)),
    ("There are 3 dogs.", "3", (1, 1, 0)),
    ("There are three dogs.", "3", (1, 0, 0)),
    ("There are 3 dogs, 3 in all.", "3", (1, 1, 0)),
    ("3 dogs and three cats", "3", (1, 1, 0)),
    ("3 dogs and 2 cats", "3", (0, 1, 0)),
    ("2 or 3", "3", (0, 1, 0)),
    ("13", "3", (0, 1, 0)),  # count/substring
    ("30", "3", (0, 1, 0)),
    ("3.5", "3", (0, 1, 0)),
    ("1-3", "3", (0, 1, 0)),
    ("2", "3", 0),
    ("two", "3", 0),
    ("-3", "3", (0, 1, 0)),
    ("many", "3", 0),
    ("", "3", 0),
    ("0", "0", 1),
    ("zero", "0", (1, 0, 1)),
    ("none", "0", (1, 0, 1)),
    ("None.", "0", (1, 0, 0)),
    ("no dogs", "0", 0),
    ("ten", "10", (1, 0, 1)),
    ("twelve", "12", (1, 0, 1)),
    ("twenty", "20", (1, 0, 1)),
    ("twenty-one", "21", 0),
    ("1,200", "1200", (1, 0, 0)),
    ("1,200 people", "1200", (1, 0, 0)),
    ("1200 people", "1200", (1, 1, 0)),
    ("3", "three", (1, 0, 1)),
    ("three", "three", 1),
    ("one", "1", (1, 0, 1)),
    ("One of them is red", "1", (1, 0, 0)),
    ("3", ("3", "4"), 1),
    ("4", ("3", "4"), 1),
    ("5", ("3", "4"), 0),
    ("x3", "3", (0, 1, 0)),
]


@pytest.mark.parametrize(("output", "expected"), RAW)
def test_iou_in_one_unit(check, output, expected):
    check(expected, "iou", output, "[0, 0, 10, 10]")


@pytest.mark.parametrize(("output", "expected"), SIZED)
def test_iou_in_an_image(check, output, expected):
    check(expected, "iou", output, "[20, 10, 120, 60]", facts=SIZE)


@pytest.mark.parametrize("reference", ["[0.1, 0.1, 0.6, 0.6]", "<box>[[100, 100, 600, 600]]</box>"])
def test_iou_reference_units(check, reference):
    check((1, 1, 0), "iou", "<box>[[100, 100, 600, 600]]</box>", reference)
    check(1, "iou", "[0.1, 0.1, 0.6, 0.6]", reference)


def test_iou_of_several_references_and_its_note(check, answered):
    check(1, "iou", "[0, 0, 10, 10]", ["[50, 50, 60, 60]", "[0, 0, 10, 10]"])
    found = verdict(answered("iou", "[0, 0, 10, 5]", "[0, 0, 10, 10]"), "eagle2")
    assert (found.found, found.note) == ("[0, 0, 10, 5]", "IoU 0.500")


@pytest.mark.parametrize(("output", "answers", "expected"), COUNTS)
def test_count(check, output, answers, expected):
    check(expected, "count", output, answers)


@pytest.mark.parametrize(
    ("rule", "answer", "message"), [("iou", "left", "references as '\\[x1"), ("count", "few", "needs numbers")]
)
def test_bad_references_are_named(answered, rule, answer, message):
    with pytest.raises(AerieError, match=rf"'q' of 'bench'.*{message}"):
        verdict(answered(rule, "3", answer), "eagle2")


@pytest.mark.parametrize("score", [0, 0.0, 0.1, 0.5, 0.9, 1, 1.0])
def test_mmvet_takes_the_judges_score(check, score):
    check(score, "mmvet", "a long answer", "reference", facts={"judge_score": score})
    check(score, "mmvet", "a long answer", [], facts={"judge_score": score})


def test_mmvet_without_a_judge_is_unjudged(answered):
    assert verdict(answered("mmvet", "a long answer", "reference"), "eagle2").value is None
    assert verdict(answered("mmvet", "", "reference"), "eagle2").value == 0


@pytest.mark.parametrize("score", [-0.1, 1.1, "good", float("nan")])
def test_mmvet_refuses_other_scores(answered, score):
    with pytest.raises(AerieError, match=r"'q' of 'bench'.*judge_score"):
        verdict(answered("mmvet", "a long answer", "reference", facts={"judge_score": score}), "eagle2")
