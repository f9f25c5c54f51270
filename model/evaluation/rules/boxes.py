"""Boxes of referring expressions: right when IoU >= 0.5 (accuracy@0.5 of RefCOCO, Yu et al. 2016).

eagle2: the first box of the output; `<box>[[x1, y1, x2, y2]]</box>` is in thousandths of width and height, numbers up
to 1 are shares, others are pixels (InternVL `evaluate_grounding.py` for the first two).
vlmevalkit: no scorer of its own was found for boxes; scored as eagle2.
lmms-eval: `tasks/refcoco/utils_rec.py`: the first `[a, b, c, d]`, read as shares of the image whatever its size.
"""

import re

from data.errors import AerieError
from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.common import RuleSet, hit, named

Box = tuple[float, float, float, float]  # x1, y1, x2, y2

IOU_THRESHOLD = 0.5
_ROUNDING = 1e-9  # an overlap of exactly a half may come out a little lower
_NUMBER = r"\s*(-?\d+(?:\.\d+)?)\s*"
_FOUR = re.compile(rf"[\[(]{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}[\])]")
_LMMS_FOUR = re.compile(r"\[\s*" + r",\s*".join([r"(-?\d+(?:\.\d+)?)"] * 4) + r"\s*\]")


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes in the same unit, in [0, 1]; 0 for a box without area.

    >>> iou((0, 0, 2, 2), (0, 0, 2, 1))
    0.5
    """
    shared = _area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))
    union = _area(one) + _area(other) - shared
    return min(1.0, shared / union) if union > 0 else 0.0


def read_box(text: str, rules: RuleSet = "eagle2") -> Box | None:
    """The first box of a text, in the text's own unit."""
    match = (_LMMS_FOUR if rules == "lmms-eval" else _FOUR).search(text)
    return tuple(map(float, match.groups())) if match else None  # type: ignore[return-value]


def _shares(box: Box, text: str, size: tuple[float, float] | None) -> Box | None:
    """A box as shares of width and height; None where its unit can't be known."""
    if max(box) <= 1:
        return box
    if "<box>" in text:
        return box[0] / 1000, box[1] / 1000, box[2] / 1000, box[3] / 1000
    if size is None:
        return None
    width, height = size
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def _size(row: Answered) -> tuple[float, float] | None:
    width, height = row.facts.get("width"), row.facts.get("height")
    if not width or not height:
        return None
    return float(width), float(height)


def _overlap(row: Answered, found: Box, answer: str, rules: RuleSet) -> float:
    target = read_box(answer)
    if target is None:
        raise AerieError(f"{named(row)}: rule 'iou' needs references as '[x1, y1, x2, y2]', not {answer!r}")
    size = _size(row)
    target_shares = _shares(target, answer, size)
    found_shares = found if rules == "lmms-eval" else _shares(found, row.output, size)
    if target_shares is None or found_shares is None:
        return iou(found, target)  # no size is known: both are taken to be in one unit
    return iou(found_shares, target_shares)


def iou_verdict(row: Answered, rules: RuleSet) -> Verdict:
    """Right when the box overlaps any reference by at least half; the note gives the IoU."""
    found = read_box(row.output, rules)
    best = max(_overlap(row, found or (0.0, 0.0, 0.0, 0.0), answer, rules) for answer in row.answers)
    if found is None:
        return hit(False, "", "no box")
    return hit(
        best >= IOU_THRESHOLD - _ROUNDING, str([f"{value:g}" for value in found]).replace("'", ""), f"IoU {best:.3f}"
    )
