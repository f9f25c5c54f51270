"""A draw for natural scenes: the rows that stand best for all the others, in image and text together.

The paper (section 2.2) finds K-means on image embeddings poor on natural scenes: photographs form no clear groups, so
cells follow colour and layout, and equal numbers from each cell waste the quota; what is asked about a photograph
counts as much as what it shows. So rows are compared by the mean of both cosines, and the draw maximises
f(S) = sum_i max_{j in S} cos(i, j), facility location: a row is worth what it adds for the rows that nothing chosen
resembles. Near-copies add nothing, a rare concept adds itself, and no number of clusters is to be guessed. f is
submodular, so the greedy choice reaches 1 - 1/e of the best.

To scale, rows are split into cells of like rows; greedy gains inside a cell don't depend on the others, so the largest
gains of all cells together are the greedy choice. One cell's cosines are in memory at a time, as whole numbers: sums
don't depend on their order.
"""

import heapq
from collections.abc import Iterator

import numpy as np

from data.curation.clustering import cluster
from data.curation.row_views import Float32Rows
from data.curation.selection_draw_types import Draw

WIDTH = 256  # wider vectors are projected at random: cosines stay within about 0.06, near 1 much closer
CELL_ROWS, CELL_LIMIT = 512, 2048
UNIT = 1 << 15


def joint_vectors(images: Float32Rows, texts: Float32Rows, seed: int) -> np.ndarray:
    """float32 [N, W], W <= 256, of length 1: their cosine is the mean of the image cosine and the text cosine.

    A row without an image has the zero vector there and is compared by its text.
    """
    width = images.shape[1] + texts.shape[1]
    turn = None
    if width > WIDTH:
        turn = np.random.default_rng(seed).standard_normal((width, WIDTH)).astype(np.float32)
    joint = np.empty((len(images), min(width, WIDTH)), np.float32)
    for (part, pictures), (_, words) in zip(images.blocks(), texts.blocks(), strict=True):
        block = np.concatenate([pictures, words], axis=1)
        block = block if turn is None else block @ turn
        joint[part] = block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)
    return joint


def coverage_draw(vectors: np.ndarray, ranks: np.ndarray, seed: int) -> Draw:
    """The draw over unit vectors [N, D] of rows sorted by id; a tie goes to the lower seeded rank."""

    def draw(rows: np.ndarray, count: int) -> np.ndarray:
        rows = np.sort(rows)
        gains, best, least = np.zeros(len(rows), np.int64), np.empty(0, np.int64), 0
        for cell in _cells(vectors, rows, ranks, seed):
            places, found = greedy_gains(vectors[rows[cell]], least)
            gains[cell[places]] = found
            best = np.sort(np.concatenate([best, found]))[-count:] if count else best
            least = int(best[0]) if len(best) == count and count else 0  # a smaller gain can't be among the largest
        return np.sort(rows[np.lexsort((ranks[rows], -gains))[:count]])

    return draw


def _cells(vectors: np.ndarray, rows: np.ndarray, ranks: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Places in `rows`, sorted, cell by cell; a cell above the limit is cut by seeded rank."""
    k = -(-len(rows) // CELL_ROWS)
    if len(rows) <= CELL_LIMIT:
        yield np.arange(len(rows))
        return
    labels = cluster(Float32Rows(vectors, rows), k, seed, "faiss").labels
    order = np.lexsort((ranks[rows], labels))
    for members in np.split(order, np.cumsum(np.bincount(labels, minlength=k))[:-1]):
        for start in range(0, len(members), CELL_LIMIT):
            yield np.sort(members[start : start + CELL_LIMIT])


def greedy_gains(vectors: np.ndarray, least: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(places, gains) of the greedy choice among unit vectors [m, D], until a gain is 0 or below `least`.

    Lazy: a gain only falls as others are chosen, so an old gain is a bound, and few are computed again.
    """
    cosines = np.rint(np.clip(vectors @ vectors.T, 0, 1) * UNIT).astype(np.int32)
    covered = np.zeros(len(vectors), np.int32)
    heap = [(-int(gain), place, 0) for place, gain in enumerate(cosines.sum(axis=1, dtype=np.int64))]
    heapq.heapify(heap)
    places: list[int] = []
    gains: list[int] = []
    while heap:
        bound, place, age = heapq.heappop(heap)
        if -bound < max(least, 1):
            break
        if age == len(places):
            places.append(place)
            gains.append(-bound)
            np.maximum(covered, cosines[place], out=covered)
        else:
            gain = int(np.maximum(cosines[place] - covered, 0).sum(dtype=np.int64))
            heapq.heappush(heap, (-gain, place, len(places)))
    return np.array(places, np.int64), np.array(gains, np.int64)
