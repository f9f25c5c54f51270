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

BLOCK, KEPT_BLOCK = 1024, 8192  # rows in memory at once, and kept rows that they are compared with


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
            near |= {item.row: item for item in _Group(images if pictures else None, texts, threshold).near(rows)}
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
    """Rows that are equal in what their vectors don't show: all with images, or all without (`images` is None)."""

    def __init__(self, images: Vectors | None, texts: Vectors, threshold: float) -> None:
        self._images, self._texts, self._threshold = images, texts, threshold

    def near(self, rows: Sequence[int]) -> list[Duplicate]:
        """Greedy in row order: each row is compared with the rows kept so far, a block at a time."""
        kept: list[int] = []
        gone: list[Duplicate] = []
        for at in range(0, len(rows), BLOCK):
            block = np.array(rows[at : at + BLOCK], np.int64)
            for start in range(0, len(kept), KEPT_BLOCK):
                found = self._among(block, np.array(kept[start : start + KEPT_BLOCK], np.int64))
                gone += found.values()
                block = np.array([row for row in block.tolist() if row not in found], np.int64)
            inside = self._inside(block)
            gone += inside.values()
            kept += [row for row in block.tolist() if row not in inside]
        return gone

    def _among(self, block: np.ndarray, originals: np.ndarray) -> dict[int, Duplicate]:
        """The rows of a block that are like an original: each with its first one."""
        if (tile := self._alike(block, originals)) is None:
            return {}
        alike, image_cos, text_cos = tile
        hits, columns = np.flatnonzero(alike.any(axis=1)).tolist(), alike.argmax(axis=1).tolist()
        return {
            int(block[hit]): self._item(
                block[hit], originals[columns[hit]], image_cos[hit, columns[hit]], text_cos[hit, columns[hit]]
            )
            for hit in hits
        }

    def _inside(self, block: np.ndarray) -> dict[int, Duplicate]:
        """The rows of a block that are like an earlier row of it that stays."""
        if (tile := self._alike(block, block)) is None:
            return {}
        alike, image_cos, text_cos = tile
        alive, gone = np.zeros(len(block), bool), {}
        for index, row in enumerate(block.tolist()):
            matches = np.flatnonzero(alike[index] & alive)
            if len(matches):
                column = matches[0]
                gone[row] = self._item(row, block[column], image_cos[index, column], text_cos[index, column])
            else:
                alive[index] = True
        return gone

    def _alike(self, block: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """(alike, image cosines, text cosines), each [B, O]; None when no two rows but a row and itself are alike."""
        if not len(block):
            return None
        text_cos = cosines(self._texts[block], self._texts[others])
        alike = (text_cos > self._threshold) & (block[:, None] != others[None])
        if not alike.any():
            return None  # the images needn't be read
        image_cos = np.ones_like(text_cos)
        if self._images is not None:
            image_cos = cosines(self._images[block], self._images[others])
        return alike & (image_cos > self._threshold), image_cos, text_cos

    def _item(self, row: int, kept: int, image: float, text: float) -> Duplicate:
        return Duplicate(
            row=int(row), kept=int(kept), exact=False, image_similarity=float(image), text_similarity=float(text)
        )
