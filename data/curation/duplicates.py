"""Duplicates inside the pool: the first sample in the stable order stays, later look-alikes go.

Tiny synthetic pictures and charts lie close together in embedding space, so near vectors alone prove nothing:
a near-duplicate is also equal in all that its vectors don't show: answers, later questions, what was cut.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from data.curation.row_views import Vectors
from data.curation.similarity import cosines, has_image
from data.curation.sketch import Sketch

BLOCK, KEPT_BLOCK = 1024, 8192  # rows in memory at once, and kept rows that they are compared with
SKETCH_ABOVE = 2048  # rows of a group; a smaller one is compared at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A sample that goes: `kept` is the row that stays instead; cosines are 1 where both are exactly equal."""

    row: int
    kept: int
    exact: bool
    image_similarity: float
    text_similarity: float


def find_duplicates(
    images: Vectors,
    texts: Vectors,
    unseen: Sequence[Hashable],
    contents: Sequence[Hashable],
    threshold: float,
) -> list[Duplicate]:
    """The rows to remove, in row order.

    images [N, D_i] and texts [N, D_t] are unit vectors (zeros: no image). `contents` is equal for samples with equal
    pixels and equal turns: always duplicates. `unseen` must be equal, and both cosines above `threshold`, for a
    near-duplicate; a threshold of 1 leaves only the exact ones. Only kept rows count as originals, so that a chain of
    small steps does not erase a source.
    """
    found: dict[int, Duplicate] = {}
    first: dict[Hashable, int] = {}
    for row, content in enumerate(contents):
        kept = first.setdefault(content, row)
        if kept != row:
            found[row] = Duplicate(row=row, kept=kept, exact=True, image_similarity=1.0, text_similarity=1.0)
    groups: defaultdict[tuple[Hashable, bool], list[int]] = defaultdict(list)
    pictured = has_image(images)
    for row, rest in enumerate(unseen):
        if row not in found:
            groups[rest, bool(pictured[row])].append(row)
    near: dict[int, Duplicate] = {}
    for (_, pictures), rows in groups.items():
        if len(rows) > 1:
            group = _Group(images if pictures else None, texts, rows, threshold)
            near |= {item.row: item for item in group.near()}
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


class _Group:
    """Rows that are equal in what their vectors don't show: all with images, or all without (`images` is None).

    Rows are numbered by their place in the group.
    """

    def __init__(self, images: Vectors | None, texts: Vectors, rows: Sequence[int], threshold: float) -> None:
        self._rows = np.array(rows, np.int64)
        self._images, self._texts, self._threshold = images, texts, threshold
        parts = [texts] if images is None else [images, texts]
        self._sketch = Sketch(parts, self._rows, threshold) if len(rows) > SKETCH_ABOVE else None

    def near(self) -> list[Duplicate]:
        """Greedy in row order: each row is compared with the rows kept so far, a block at a time."""
        kept = np.zeros(0, np.int64)
        gone: list[Duplicate] = []
        for at in range(0, len(self._rows), BLOCK):
            block = np.arange(at, min(at + BLOCK, len(self._rows)))
            for start in range(0, len(kept), KEPT_BLOCK):
                found = self._among(block, kept[start : start + KEPT_BLOCK])
                gone += found.values()
                block = np.setdiff1d(block, list(found))
            inside = self._among(block, block)
            gone += inside.values()
            kept = np.concatenate([kept, np.setdiff1d(block, list(inside))])
        return gone

    def _among(self, block: np.ndarray, originals: np.ndarray) -> dict[int, Duplicate]:
        """The rows of a block that are like an original: each with its first. A row that goes is no original."""
        block, originals = self._sketch.candidates(block, originals) if self._sketch else (block, originals)
        if not len(block) or not len(originals):
            return {}
        text_cos = cosines(self._texts[self._rows[block]], self._texts[self._rows[originals]])
        alike = (text_cos > self._threshold) & (block[:, None] > originals[None])
        if not alike.any():
            return {}  # the images needn't be read
        image_cos = np.ones_like(text_cos)
        if self._images is not None:
            image_cos = cosines(self._images[self._rows[block]], self._images[self._rows[originals]])
            alike &= image_cos > self._threshold
        found: dict[int, Duplicate] = {}
        for index in np.flatnonzero(alike.any(axis=1)).tolist():
            for column in np.flatnonzero(alike[index]).tolist():
                if int(originals[column]) not in found:
                    similar = float(image_cos[index, column]), float(text_cos[index, column])
                    found[int(block[index])] = self._item(block[index], originals[column], *similar)
                    break
        return found

    def _item(self, place: int, kept: int, image: float, text: float) -> Duplicate:
        return Duplicate(
            row=int(self._rows[place]),
            kept=int(self._rows[kept]),
            exact=False,
            image_similarity=image,
            text_similarity=text,
        )
