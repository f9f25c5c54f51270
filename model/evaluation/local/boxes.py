"""Grounding: where the one drawn thing of an image is, measured on the pixels that were drawn."""

import numpy as np

from data.images import ImageProblemError, decode_image, image_payload
from data.schema import Sample
from model.evaluation.local.asking import Asking
from model.evaluation.questions import Question

GRID = 1000  # coordinates run from 0 to 1000 over width and height, as in the training data
ASKED = {"line": "the text", "first_word": "the text", "shape": "the shape"}


def box_questions(asking: Asking, benchmark: str) -> list[Question]:
    """Rule iou: the box of a drawn line of text or of the one shape on a plain ground.

    Left out: charts (many marks), digits (enlarged from 8 x 8 pixels: their edges lie nowhere exactly), and any image
    whose corners differ, so that its ground isn't known.
    """
    questions = []
    for sample in asking.samples:
        tasks = sample.meta.get("tasks") or [sample.meta.get("task")]
        thing = next((ASKED[task] for task in tasks if task in ASKED), None)
        box = ink_box(sample) if thing is not None and len(sample.images) == 1 else None
        if box is not None:
            pair = (f"Where is {thing}? Give its box [x1, y1, x2, y2] from 0 to {GRID}.", str(list(box)), "grounding")
            questions.append(asking.anew(benchmark, sample, "box", pair, "iou", facts={"grid": GRID}))
    return questions


def ink_box(sample: Sample) -> tuple[int, int, int, int] | None:
    """(x1, y1, x2, y2) on the grid of what stands out from the ground; None where the ground isn't plain.

    Ink is what differs from the corners by a tenth of what the most different pixel does: less is how a drawn edge was
    smoothed or compressed. So a box is right to within a pixel.
    """
    try:
        pixels = np.asarray(decode_image(image_payload(sample.images[0])), dtype=np.int16)
    except ImageProblemError:
        return None
    corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
    if (corners != corners[0]).any():
        return None
    distance = np.abs(pixels - corners[0]).sum(axis=2)
    if not distance.any():
        return None
    rows, columns = np.nonzero(10 * distance >= distance.max())
    height, width = distance.shape
    edges = (columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height)
    x1, y1, x2, y2 = (round(GRID * float(edge)) for edge in edges)
    return x1, y1, x2, y2
