"""Rules that make questions: every answer follows from the row, coordinates and numbers are exact."""

import re
from decimal import Decimal

import pytest

from data.registry import phrasings
from data.registry.conversions import Asking, boxes, captions, labels, landmarks
from data.registry.conversions_tables import markdown, tables
from data.registry.raw.problems import BadRowError

ASKING = Asking(seed=1, source="s", key="k", width=200, height=100)


def asking(**changes):
    fields = {name: getattr(ASKING, name) for name in Asking.__slots__}
    return Asking(**{**fields, **changes})


def by_task(pairs):
    found = {}
    for question, answer, task in pairs:
        found.setdefault(task, []).append((question, answer))
    return found


def test_labels_with_and_without_a_vocabulary():
    assert labels({}, ASKING) == []
    ((question, answer, task),) = labels({"label": " oak "}, ASKING)
    assert (answer, task) == ("oak", "label")
    assert question in phrasings.LABEL
    assert "tree" in labels({"label": "oak"}, asking(kind="tree"))[0][0]
    assert labels({"labels": ["oak", "elm", "oak"]}, ASKING)[0][1:] == ("oak, elm", "labels")
    words = ("oak", "elm", "fir", "yew", "ash")
    found = by_task(labels({"label": "oak"}, asking(vocabulary=words)))
    (yes, no), ((asked, letter),) = found["yes_no"], found["multiple_choice"]
    assert ("oak" in yes[0], yes[1], no[1]) == (True, "yes", "no")
    assert any(word in no[0] for word in words[1:])
    lines = dict(line.split(". ") for line in asked.splitlines()[1:])
    assert (lines[letter], len(set(lines.values()))) == ("oak", 4)
    letters = {
        by_task(labels({"label": "oak"}, asking(vocabulary=words, key=k)))["multiple_choice"][0][1] for k in "abcdefgh"
    }
    assert len(letters) > 1  # the right option isn't always at one place


def test_of_several_captions_one_is_asked_for():
    found = {captions({"captions": ["one", "two", "three"]}, asking(key=str(k)))[0][1] for k in range(20)}
    assert found == {"one", "two", "three"}
    assert captions({"caption": "a"}, ASKING)[0][1:] == ("a", "caption")


@pytest.mark.parametrize(
    ("box", "box_format"),
    [([20, 10, 100, 50], "xyxy"), ([20, 10, 80, 40], "xywh"), ([0.1, 0.1, 0.5, 0.5], "fraction")],
)
def test_boxes_in_every_format_give_the_same_grid(box, box_format):
    found = by_task(boxes({"boxes": [{"label": "cat", "box": box}]}, asking(box_format=box_format)))
    assert found["grounding"][0][1] == "<ref>cat</ref><box>[[100, 100, 500, 500]]</box>"
    assert found["counting"][0][1] == "1"
    assert found["region"][0][1] == "cat"
    assert "<box>[[100, 100, 500, 500]]</box>" in found["region"][0][0]


def test_boxes_are_counted_sorted_and_asked_for_where_they_are_alone():
    entries = [{"label": "cat", "bbox": [100, 0, 150, 50]}, {"label": "cat", "bbox": [0, 0, 50, 50]}]
    entries += [{"label": "dog", "bbox": [10, 10, 60, 60]}, {"label": "herd", "bbox": [160, 60, 190, 90], "iscrowd": 1}]
    found = by_task(boxes({"boxes": entries}, ASKING))
    answers = [answer for _, answer in found["grounding"]]
    assert answers[0] == "<ref>cat</ref><box>[[0, 0, 250, 500], [500, 0, 750, 500]]</box>"
    assert [answer for _, answer in found["counting"]] == ["2", "1"]
    assert [answer for _, answer in found["region"]] == ["cat"]  # the other cat lies under the dog, the herd is many
    many = [{"label": "bird", "box": [n, 0, n + 1, 1]} for n in range(30)]
    assert set(by_task(boxes({"boxes": many}, ASKING))) == {"region"}


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 0, 10],
        [10, 10, 5, 20],
        [0, 0, 500, 10],
        [-9, 0, 5, 5],
        [0, 0, 1],
        "x",
        None,
        [0, 0, True, 1],
        [0, 0, 10**400, 1],
    ],
)
def test_boxes_that_cannot_be(box):
    with pytest.raises(BadRowError) as caught:
        boxes({"boxes": [{"label": "cat", "box": box}]}, ASKING)
    assert caught.value.reason == "invalid_box"


@pytest.mark.parametrize(
    "entry", [{"label": "<ref>", "box": [0, 0, 1, 1]}, {"box": [0, 0, 1, 1]}, "cat", {"label": " "}]
)
def test_objects_without_a_clean_name(entry):
    with pytest.raises(BadRowError) as caught:
        boxes({"boxes": [entry]}, ASKING)
    assert caught.value.reason == "invalid_row"


def test_a_box_half_a_pixel_outside_is_rounding():
    found = by_task(boxes({"boxes": [{"label": "cat", "box": [-0.5, 0, 200.4, 100]}]}, ASKING))
    assert found["grounding"][0][1].endswith("[[0, 0, 1000, 1000]]</box>")


def test_landmarks_are_points_and_hidden_ones_are_not_asked_for():
    expected = ["<ref>nose</ref><box>[[500, 250]]</box>"]
    for given in (
        {"nose": [100, 25], "ear": None},
        [{"name": "nose", "point": [100, 25]}, {"name": "ear", "point": None}],
    ):
        pairs = landmarks({"landmarks": given}, ASKING)
        assert [answer for _, answer, _ in pairs] == expected
        assert "nose" in pairs[0][0]
    for bad in ({"nose": [1]}, {"nose": [1, 999]}, "x", [1]):
        with pytest.raises(BadRowError):
            landmarks({"landmarks": bad}, ASKING)


TABLE = {
    "columns": ["City", "Area", "Note"],
    "rows": [["Ulm", "118.68", "on a river"], ["Bonn", "1,141", ""], ["Jena", 114.76, None]],
}


def test_answers_about_a_table_are_computed_from_what_is_printed():
    cells = {"Ulm": Decimal("118.68"), "Bonn": Decimal(1141), "Jena": Decimal("114.76")}
    looked_up = set()
    for key in range(20):
        found = by_task(tables({"table": TABLE}, asking(key=str(key))))
        assert found["max"][0][1] == "Bonn"
        assert found["min"][0][1] == "Jena"
        assert found["total"][0][1] == "1374.44"
        (question, answer), *_ = found["difference"]
        one, other = (name for name in re.findall("Ulm|Bonn|Jena", question))
        assert Decimal(answer) == abs(cells[one] - cells[other])
        (question, answer), *_ = found["value_at"]
        name = re.search("Ulm|Bonn|Jena", question)[0]
        looked_up.add(name)
        assert Decimal(answer.replace(",", "")) == cells[name]
        assert found["cell"][0][1] == "on a river"
    assert looked_up == set(cells)


def test_doubtful_questions_about_tables_are_not_asked():
    tie = {"columns": ["a", "b"], "rows": [["x", 1], ["y", 1], ["z", 0]]}
    assert set(by_task(tables({"table": tie}, ASKING))) == {"min", "difference", "total", "value_at"}
    twice = {"columns": ["a", "b"], "rows": [["x", 1], ["x", 2], ["y", 3]]}
    assert set(by_task(tables({"table": twice}, ASKING))) == {"value_at"}  # of y alone
    objects = [{"a": "x", "b": 1}, {"a": "y", "b": 2}]
    assert by_task(tables({"table": objects}, ASKING))["max"][0][1] == "y"
    assert markdown(objects) == "| a | b |\n| --- | --- |\n| x | 1 |\n| y | 2 |"
    gap = {"columns": ["a", "b"], "rows": [["x", "1"], ["y", "n/a"], ["z", "1e999999999"]]}
    assert set(by_task(tables({"table": gap}, ASKING))) <= {"value_at", "cell"}


@pytest.mark.parametrize(
    "table",
    [
        "x",
        [],
        {"columns": ["a"], "rows": [[1]]},
        {"columns": ["a", "b"], "rows": [[1]]},
        {"columns": ["a", "a"], "rows": [[1, 2]]},
        {"columns": ["a", "b"], "rows": [[1, {}]]},
        {"columns": ["a", "b"], "rows": [["x", "y"]] * 6000},
        [{"a": 1, "b": True}],
    ],
)
def test_tables_that_are_none(table):
    with pytest.raises(BadRowError):
        tables({"table": table}, ASKING)
