"""Questions about what is in the image: how many, where, how large."""

import random
from itertools import combinations

from data.curation.added_turns import AddedTurn, unless_asked
from data.curation.augmentation_facts import Box, box_text, boxes_of, named_boxes, objects_of
from data.schema import Sample

CLEAR_SHIFT = 0.15  # of the image's side: middles that are closer could be argued about
CLEAR_RATIO = 1.5  # of two areas
HIDDEN = 0.5  # of the smaller box: what lies so far inside another is not told by its box alone


def count_objects(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """How many objects of one kind there are."""
    objects = objects_of(sample)
    if not objects:
        return None
    label = rng.choice(sorted(objects))
    words = ("How many objects of the kind {label!r} are there?", "Count the objects of the kind {label!r}.")
    question = rng.choice(words).format(label=label)
    return unless_asked(sample, question, str(objects[label]), "count", {"objects": {label: objects[label]}})


def count_compare(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """Of which kind there are more, or fewer."""
    picked = _unequal(sample, rng)
    if picked is None:
        return None
    pair, counts = picked
    direction = rng.choice(("more", "fewer"))
    answer = (max if direction == "more" else min)(pair, key=lambda label: counts[label])
    question = f"Of which kind are there {direction} objects, {pair[0]} or {pair[1]}?"
    return unless_asked(sample, question, answer, "compare", {"direction": direction, "objects": counts})


def count_difference(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """How many more there are of one kind than of another."""
    picked = _unequal(sample, rng)
    if picked is None:
        return None
    pair, counts = picked
    more, fewer = sorted(pair, key=lambda label: -counts[label])
    question = f"How many more objects are there of the kind {more!r} than of the kind {fewer!r}?"
    return unless_asked(sample, question, str(counts[more] - counts[fewer]), "difference", {"objects": counts})


def _unequal(sample: Sample, rng: random.Random) -> tuple[list[str], dict[str, int]] | None:
    """Two kinds of which there are not equally many, in random order, and their counts."""
    objects = objects_of(sample)
    pairs = [pair for pair in combinations(sorted(objects), 2) if objects[pair[0]] != objects[pair[1]]]
    if not pairs:
        return None
    pair = list(rng.choice(pairs))
    rng.shuffle(pair)
    return pair, {label: objects[label] for label in pair}


def region_horizontal(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """Which of two objects is further left or right."""
    return _beside(sample, rng, axis=0, words=("further left", "further right"))


def region_vertical(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """Which of two objects is higher up or lower down in the image."""
    return _beside(sample, rng, axis=1, words=("higher up", "lower down"))


def _beside(sample: Sample, rng: random.Random, *, axis: int, words: tuple[str, str]) -> AddedTurn | None:
    boxes = named_boxes(sample)
    side = (sample.images[0].width, sample.images[0].height)[axis] if boxes else 0
    clear = [
        pair
        for pair in combinations(boxes, 2)
        if abs(pair[0].centre[axis] - pair[1].centre[axis]) >= CLEAR_SHIFT * side
    ]
    if not clear:
        return None
    pair, number = _shuffled(rng, clear), rng.randrange(2)
    found = (min, max)[number](pair, key=lambda box: box.centre[axis])
    question = f"Which is {words[number]} in the image, {pair[0].label} or {pair[1].label}?"
    return unless_asked(sample, question, found.label, "region", _corners(pair))


def region_size(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """Which of two objects takes up more of the image, or less."""
    clear = [
        pair
        for pair in combinations(named_boxes(sample), 2)
        if max(pair[0].area, pair[1].area) >= CLEAR_RATIO * min(pair[0].area, pair[1].area)
    ]
    if not clear:
        return None
    pair, direction = _shuffled(rng, clear), rng.choice(("more", "less"))
    found = (max if direction == "more" else min)(pair, key=lambda box: box.area)
    question = f"Which takes up {direction} of the image, {pair[0].label} or {pair[1].label}?"
    return unless_asked(sample, question, found.label, "region", _corners(pair))


def region_box(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """Where an object is, as a box."""
    boxes = named_boxes(sample)
    if not boxes:
        return None
    box = rng.choice(boxes)
    words = ("Give the bounding box of this object: {label}.", "Locate this object by its bounding box: {label}.")
    answer = box_text(box, sample.images[0].width, sample.images[0].height)
    return unless_asked(sample, rng.choice(words).format(label=box.label), answer, "box", _corners([box]))


def region_name(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """What kind of object is inside a box that shares little with the others."""
    boxes = boxes_of(sample)
    clear = [box for box in boxes if all(other is box or box.overlap(other) < HIDDEN for other in boxes)]
    if not clear:
        return None
    box = rng.choice(clear)
    place = box_text(box, sample.images[0].width, sample.images[0].height)
    words = ("What is inside {place}?", "Which object does {place} show?")
    return unless_asked(sample, rng.choice(words).format(place=place), box.label, "label", _corners([box]))


def _shuffled(rng: random.Random, pairs: list[tuple[Box, Box]]) -> list[Box]:
    pair = list(rng.choice(pairs))
    rng.shuffle(pair)  # the answer stands first and last equally often
    return pair


def _corners(boxes: list[Box]) -> dict[str, object]:
    return {"boxes": {box.label: [box.x1, box.y1, box.x2, box.y2] for box in boxes}}
