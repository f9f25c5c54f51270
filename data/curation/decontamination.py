"""Benchmark decontamination: training rows that are as good as a held-out or benchmark row, by image and by text.

The product of Eq. 1 finds the candidates: a row whose highest product is not above the product of the thresholds has no
pair above both. Only candidates are compared pair by pair.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data.curation.row_views import RowView, Vectors
from data.curation.similarity import cosines, has_image
from data.curation.similarity_device import nearest_in_pool
from data.settings.gate import GateSettings

BLOCK, BENCHMARK_BLOCK = 1024, 4096
ROUNDING = 1e-3  # what a quick product may lack of the exact one


@dataclass(frozen=True, slots=True, kw_only=True)
class Contamination:
    """A training row and the benchmark row that it resembles most; a missing image counts as similarity 1."""

    row: int
    benchmark_row: int
    image_similarity: float
    text_similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Rows to compare: unit vectors [N, D_i] (zeros: no image) and [N, D_t], and what the vectors don't show."""

    images: Vectors
    texts: Vectors
    unseen: Sequence[Hashable]

    def rows(self, numbers: np.ndarray) -> "Side":
        """Some of the rows."""
        unseen = [self.unseen[number] for number in numbers.tolist()]
        return Side(images=RowView(self.images, numbers), texts=RowView(self.texts, numbers), unseen=unseen)


def find_contaminated(training: Side, benchmark: Side, settings: GateSettings) -> list[Contamination]:
    """The training rows to drop, in row order, each once.

    A row with an image is compared with benchmark rows with one, by the recipe's rule; a row without is compared with
    those without, by text alone. With `decontaminate_turns: equal` the unseen parts must be equal too.
    """
    found: list[Contamination] = []
    if settings.decontaminate == "none" or not len(training.unseen) or not len(benchmark.unseen):
        return found
    pictured, shown = has_image(training.images), has_image(benchmark.images)
    for with_images in (True, False):
        rows, others = np.flatnonzero(pictured == with_images), np.flatnonzero(shown == with_images)
        if settings.decontaminate_turns == "equal":
            rows, others = _sharing(training, rows, benchmark, others)
        if len(rows) and len(others):
            rule = settings.decontaminate if with_images else "text"
            near = _near(training.rows(rows), benchmark.rows(others), rule, settings)
            found += [
                Contamination(
                    row=int(rows[row]),
                    benchmark_row=int(others[other]),
                    image_similarity=image if with_images else 1.0,
                    text_similarity=text,
                )
                for row, other, image, text in near
            ]
    return sorted(found, key=lambda item: item.row)


def _sharing(one: Side, rows: np.ndarray, two: Side, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows on both sides whose unseen parts occur on the other."""
    common = {one.unseen[row] for row in rows.tolist()} & {two.unseen[row] for row in others.tolist()}
    left = [row for row in rows.tolist() if one.unseen[row] in common]
    right = [row for row in others.tolist() if two.unseen[row] in common]
    return np.array(left, np.int64), np.array(right, np.int64)


def _near(
    training: Side, benchmark: Side, rule: str, settings: GateSettings
) -> Iterator[tuple[int, int, float, float]]:
    """(row, benchmark row, image cosine, text cosine) of each row with a pair that the rule forbids."""
    limits = settings.decontaminate_image_above, settings.decontaminate_text_above
    candidates = np.zeros(len(training.unseen), bool)
    for by_image, by_text in {"both": [(1, 1)], "image": [(1, 0)], "text": [(0, 1)], "either": [(1, 0), (0, 1)]}[rule]:
        ours, theirs = (
            (side.images if by_image else _nothing(side, 0), side.texts if by_text else _nothing(side, 1))
            for side in (training, benchmark)
        )
        limit = (limits[0] if by_image else 1) * (limits[1] if by_text else 1)
        candidates |= nearest_in_pool(*ours, *theirs).best > limit - ROUNDING
    keys: dict[Hashable, int] = {}
    codes = [
        np.array([keys.setdefault(key, len(keys)) for key in side.unseen], np.int64) for side in (training, benchmark)
    ]
    rows = np.flatnonzero(candidates)
    for at in range(0, len(rows), BLOCK):
        block = rows[at : at + BLOCK]
        yield from _pairs(
            training, benchmark, block, codes if settings.decontaminate_turns == "equal" else None, rule, limits
        )


def _nothing(side: Side, value: int) -> np.ndarray:
    """A column that leaves its factor out: zeros as images, ones as texts."""
    return np.full((len(side.unseen), 1), value, np.float32)


def _pairs(
    training: Side,
    benchmark: Side,
    block: np.ndarray,
    codes: list[np.ndarray] | None,
    rule: str,
    limits: tuple[float, float],
) -> Iterator[tuple[int, int, float, float]]:
    """The forbidden pair with the highest product of each row of the block, the first one on a tie."""
    images, texts = training.images[block], training.texts[block]
    best = np.full(len(block), -np.inf, np.float32)
    nearest, similar = np.zeros(len(block), np.int64), np.zeros((len(block), 2), np.float32)
    for start in range(0, len(benchmark.unseen), BENCHMARK_BLOCK):
        part = slice(start, start + BENCHMARK_BLOCK)
        image_cos, text_cos = cosines(images, benchmark.images[part]), cosines(texts, benchmark.texts[part])
        by_image, by_text = image_cos > limits[0], text_cos > limits[1]
        alike = {"both": by_image & by_text, "image": by_image, "text": by_text, "either": by_image | by_text}[rule]
        if codes is not None:
            alike &= codes[0][block][:, None] == codes[1][part][None]
        product = np.where(alike, image_cos * text_cos if rule != "text" else text_cos, -np.inf)
        columns = product.argmax(axis=1)
        better = np.flatnonzero(product[np.arange(len(block)), columns] > best)
        chosen = columns[better]
        best[better], nearest[better] = product[better, chosen], chosen + start
        similar[better] = np.stack([image_cos[better, chosen], text_cos[better, chosen]], axis=1)
    for index in np.flatnonzero(best > -np.inf).tolist():
        yield int(block[index]), int(nearest[index]), float(similar[index, 0]), float(similar[index, 1])
