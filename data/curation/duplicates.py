"""Duplicates inside the pool: the first sample in the stable order stays, later look-alikes go.

Tiny synthetic pictures and charts lie close together in embedding space, so near vectors alone prove nothing:
a near-duplicate is also equal in all that its vectors don't show: answers, later questions, what was cut.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.curation.similarity import cosines, has_image

BLOCK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A sample that goes: `kept` is the row that stays instead; cosines are 1 where both are exactly equal."""

    row: int
    kept: int
    exact: bool
    image_similarity: float
    text_similarity: float


def find_duplicates(
    images: np.ndarray,
    texts: np.ndarray,
    unseen: Sequence[str],
    contents: Sequence[str],
    threshold: float,
) -> list[Duplicate]:
    """The rows to remove, in row order.

    images [N, D_i] and texts [N, D_t] are unit vectors (zeros: no image). `contents` is equal for samples with equal
    pixels and equal turns: always duplicates. `unseen` must be equal, and both cosines above `threshold`, for a
    near-duplicate; a threshold of 1 leaves only the exact ones. Only kept rows count as originals, so that a chain of
    small steps does not erase a source.
    """
    found: dict[int, Duplicate] = {}
    first: dict[str, int] = {}
    for row, content in enumerate(contents):
        kept = first.setdefault(content, row)
        if kept != row:
            found[row] = Duplicate(row=row, kept=kept, exact=True, image_similarity=1.0, text_similarity=1.0)
    groups: defaultdict[tuple[str, bool], list[int]] = defaultdict(list)
    pictured = has_image(images)
    for row, rest in enumerate(unseen):
        if row not in found:
            groups[rest, bool(pictured[row])].append(row)
    near: dict[int, Duplicate] = {}
    for (_, pictures), rows in groups.items():
        if len(rows) > 1:
            near |= {item.row: item for item in _near(images, texts, rows, pictures, threshold)}
    # An exact copy of a row that went as a near-duplicate points at the row that stays.
    for row, item in found.items():
        if item.kept in near:
            found[row] = Duplicate(
                row=row,
                kept=near[item.kept].kept,
                exact=False,
                image_similarity=near[item.kept].image_similarity,
                text_similarity=near[item.kept].text_similarity,
            )
    return [item for _, item in sorted((found | near).items())]


def _near(images: np.ndarray, texts: np.ndarray, rows: list[int], pictures: bool, threshold: float) -> list[Duplicate]:
    """Greedy over the rows of one group; each is compared with the rows kept so far, a block at a time."""
    kept: list[int] = []
    gone: list[Duplicate] = []
    for at in range(0, len(rows), BLOCK):
        block = rows[at : at + BLOCK]
        originals = [*kept, *block]  # a block is also compared with itself
        text_cos = cosines(texts[block], texts[originals])
        image_cos = cosines(images[block], images[originals]) if pictures else np.ones_like(text_cos)
        alike = (text_cos > threshold) & (image_cos > threshold)
        alive = np.zeros(len(originals), bool)
        alive[: len(kept)] = True
        before = len(kept)
        for index, row in enumerate(block):
            matches = np.flatnonzero(alike[index] & alive)
            if len(matches):
                column = int(matches[0])
                gone.append(
                    Duplicate(
                        row=row,
                        kept=originals[column],
                        exact=False,
                        image_similarity=float(image_cos[index, column]),
                        text_similarity=float(text_cos[index, column]),
                    )
                )
            else:
                alive[before + index] = True
                kept.append(row)
    return gone
