"""Rules on counts and regions with random boxes; every answer is checked against the boxes."""

import random
import re

import pytest

from data.curation import augmentation_objects as objects
from data.schema import ImageRef, Turn, make_sample

REGIONS = [
    *(objects.region_box, objects.region_horizontal, objects.region_name),
    *(objects.region_size, objects.region_vertical),
]
COUNTS = [objects.count_compare, objects.count_difference, objects.count_objects]
LABELS = ["dog", "red car", "tree", "person", "kite"]
WIDTH, HEIGHT = 640, 400
IMAGE = ImageRef(bytes=b"", path="x.png", width=WIDTH, height=HEIGHT)


def sample_with(images=(IMAGE,), **meta):
    turns = (Turn(role="user", content="q"), Turn(role="assistant", content="a"))
    return make_sample(source="s", category="grounding_counting", images=images, conversations=turns, meta=meta)


def random_boxes(rng, labels):
    boxes = []
    for label in labels:
        x1, y1 = rng.randint(0, WIDTH - 30), rng.randint(0, HEIGHT - 30)
        boxes.append({"label": label, "box": [x1, y1, rng.randint(x1 + 9, WIDTH), rng.uniform(y1 + 9, HEIGHT)]})
    return boxes


def turns_of(rule, labels_of, meta_of=lambda rng, labels: {"boxes": random_boxes(rng, labels)}):
    for seed in range(300):
        rng = random.Random(seed)
        meta = meta_of(rng, labels_of(rng))
        turn = rule(sample_with(**meta), rng)
        if turn is not None:
            yield turn, meta


def distinct(rng):
    return rng.sample(LABELS, rng.randint(2, 5))


def repeated(rng):
    return [rng.choice(LABELS[:3]) for _ in range(rng.randint(1, 9))]


@pytest.mark.parametrize(
    ("rule", "coordinate", "words"),
    [
        (objects.region_horizontal, lambda b: b[0] + b[2], ("further left", "further right")),
        (objects.region_vertical, lambda b: b[1] + b[3], ("higher up", "lower down")),
        (objects.region_size, lambda b: (b[2] - b[0]) * (b[3] - b[1]), ("less", "more")),
    ],
)
def test_which_of_two_objects(rule, coordinate, words):
    seen = set()
    for turn, meta in turns_of(rule, distinct):
        boxes = {entry["label"]: entry["box"] for entry in meta["boxes"]}
        one, two = re.search(r"image, (.+) or (.+)\?", turn.question).groups()
        low, high = sorted((one, two), key=lambda label: coordinate(boxes[label]))
        word = next(word for word in words if f" {word} " in turn.question)
        assert turn.answer == (low if word == words[0] else high)
        assert set(turn.inputs["boxes"]) == {one, two}
        seen.add((word, turn.answer == one))
    assert len(seen) == 4


def test_middles_and_sizes_that_are_close_are_not_compared():
    near = [{"label": "dog", "box": [0, 0, 100, 100]}, {"label": "cat", "box": [20, 20, 120, 120]}]
    for rule in (objects.region_horizontal, objects.region_vertical, objects.region_size):
        assert rule(sample_with(boxes=near), random.Random(0)) is None


def test_a_box_in_text_is_the_box_in_pixels():
    questions = set()
    for turn, meta in turns_of(objects.region_box, distinct):
        label = re.search(r": (.+)\.$", turn.question).group(1)
        box = next(entry["box"] for entry in meta["boxes"] if entry["label"] == label)
        found = re.fullmatch(r"<box>\[\[(\d+), (\d+), (\d+), (\d+)\]\]</box>", turn.answer)
        for text, pixels, side in zip(found.groups(), box, (WIDTH, HEIGHT) * 2, strict=True):
            assert abs(int(text) / 1000 * side - pixels) <= 0.5 * side / 1000 + 1e-9
        questions.add(turn.question.split()[0])
        assert turn.task == "box"
    assert questions == {"Give", "Locate"}


def test_what_is_inside_a_box():
    for turn, meta in turns_of(objects.region_name, repeated):
        assert re.search(r"<box>\[\[\d+(, \d+){3}\]\]</box>", turn.question)
        (corners,) = turn.inputs["boxes"].values()
        assert {"label": turn.answer, "box": corners} in meta["boxes"]
    covered = [{"label": "dog", "box": [0, 0, 99, 99]}, {"label": "head", "box": [10, 10, 40, 40]}]
    assert objects.region_name(sample_with(boxes=covered), random.Random(0)) is None


@pytest.mark.parametrize("source", ["boxes", "objects"])
@pytest.mark.parametrize("rule", COUNTS, ids=lambda rule: rule.__name__)
def test_counts(rule, source):
    def meta_of(rng, labels):
        if source == "boxes":
            return {"boxes": random_boxes(rng, labels)}
        return {"objects": {label: labels.count(label) for label in LABELS[:3]}}

    answers = set()
    for turn, meta in turns_of(rule, repeated, meta_of):
        found = meta["objects"] if source == "objects" else {}
        for entry in meta.get("boxes", []):
            found[entry["label"]] = found.get(entry["label"], 0) + 1
        named = sorted((label for label in LABELS if label in turn.question), key=turn.question.index)
        if rule is objects.count_objects:
            assert turn.answer == str(found[named[0]])
        elif rule is objects.count_difference:
            assert turn.answer == str(found[named[0]] - found[named[1]])
            assert int(turn.answer) > 0
        else:
            want = max if " more " in turn.question else min
            assert turn.answer == want(named, key=found.get)
        answers.add(turn.answer)
    assert len(answers) > 2


def test_labels_that_differ_in_case_are_one_kind():
    boxes = [{"label": "Dog", "box": [0, 0, 9, 9]}, {"label": " dog", "box": [50, 50, 90, 90]}]
    assert objects.count_objects(sample_with(boxes=boxes), random.Random(0)).answer == "2"
    assert objects.region_box(sample_with(boxes=boxes), random.Random(0)) is None


GOOD = {"label": "cat", "box": [0, 0, 99, 99]}


@pytest.mark.parametrize(
    "bad",
    [
        {"label": "dog", "box": [0, 0, 700, 90]},
        {"label": "dog", "box": [-1, 0, 70, 90]},
        {"label": "dog", "box": [50, 0, 40, 90]},
        {"label": "dog", "box": [0, 0, 70]},
        {"label": "dog", "box": [0, 0, "70", 90]},
        {"label": "dog", "box": [0, 0, float("nan"), 90]},
        {"label": "dog", "box": [0, 0, True, 90]},
        {"label": " ", "box": [0, 0, 70, 90]},
        {"label": 3, "box": [0, 0, 70, 90]},
        {"box": [0, 0, 70, 90]},
        "dog",
        None,
    ],
)
def test_one_broken_box_leaves_nothing_to_count_on(bad):
    sample = sample_with(boxes=[GOOD, bad, {"label": "kite", "box": [400, 200, 600, 390]}])
    assert not [rule for rule in (*REGIONS, *COUNTS) if rule(sample, random.Random(0))]


def test_facts_of_other_forms():
    none = random.Random(0)
    for meta in ({}, {"boxes": "x"}, {"objects": {"dog": -1}}, {"objects": {"dog": 1.5}}, {"objects": {"": 1}}):
        assert not [rule for rule in (*REGIONS, *COUNTS) if rule(sample_with(**meta), none)]
    for images in ((), (IMAGE, IMAGE)):
        assert not [rule for rule in REGIONS if rule(sample_with(images, boxes=[GOOD]), none)]
