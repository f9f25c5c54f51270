"""The grid rules against their definitions, in exact fractions and in the published code's doubles."""

import random
from fractions import Fraction

import numpy as np
import pytest

from data.errors import AerieError
from model.config import TilingSettings
from model.inputs.grids import CHUNK, candidate_grids, choose_grid, choose_grids, tile_count

TILE = 448
ALL_GRIDS = [(i, j) for i in range(1, 13) for j in range(1, 13) if i * j <= 12]


def random_sizes(count, low, high, seed=0):
    dice = random.Random(seed)
    return [(dice.randint(low, high), dice.randint(low, high)) for _ in range(count)]


def chosen(sizes, strategy, **options):
    """What `choose_grids` gives, as tuples."""
    cols, rows = choose_grids(*np.array(sizes).T, strategy=strategy, **options)
    return list(zip(cols.tolist(), rows.tolist(), strict=True))


def best_on_paper(width, height, strategy):
    """Every grid that the rule's text calls best; more than one only where grids of different shapes tie.

    Doubles sort out what is clearly worse; what is left is compared in exact fractions.
    """

    def value(i, j, exact):
        """How good a grid is: covered area times agreement of shapes, or minus the distance of shapes."""
        ratio = Fraction if exact else (lambda a, b: a / b)
        if strategy == "area":
            covered = min(ratio(i * j * TILE * TILE, width * height), ratio(6, 10))
            return covered * min(ratio(i * height, j * width), ratio(j * width, i * height))
        return -abs(ratio(width, height) - ratio(i, j))

    roughly = {grid: value(*grid, exact=False) for grid in ALL_GRIDS}
    top = max(roughly.values())
    near = {grid: value(*grid, exact=True) for grid in ALL_GRIDS if roughly[grid] > top - 1e-9 * max(1, width / height)}
    best = sorted((grid for grid in near if near[grid] == max(near.values())), key=lambda grid: grid[0] * grid[1])
    if len({Fraction(i, j) for i, j in best}) > 1:
        return best
    large = [(i, j) for i, j in best if 2 * width * height > TILE * TILE * i * j]
    return [large[-1] if strategy == "aspect" and large else best[0]]


def published(width, height, strategy):
    """The rule as the published code runs it: doubles, candidates by number of tiles, the better one replaces."""
    best, best_value = (1, 1), -1.0 if strategy == "area" else float("inf")
    aspect, area = width / height, width * height
    for i, j in sorted(ALL_GRIDS, key=lambda grid: grid[0] * grid[1]):
        if strategy == "area":
            value = min((i * j * TILE * TILE) / area, 0.6) * min((i / j) / aspect, aspect / (i / j))
            better = value > best_value
        else:
            value = abs(aspect - i / j)
            better = value < best_value or (value == best_value and area > 0.5 * TILE * TILE * i * j)
        if better:
            best, best_value = (i, j), value
    return best


@pytest.mark.parametrize("strategy", ["aspect", "area"])
def test_five_thousand_sizes_against_the_rule_in_fractions(strategy):
    sizes = random_sizes(2500, 1, 4000) + random_sizes(2500, 100, 1200, seed=1)
    found = chosen(sizes, strategy)
    best = [best_on_paper(*size, strategy) for size in sizes]
    assert [(size, grid) for size, grid, top in zip(sizes, found, best, strict=True) if grid not in top] == []
    assert sum(len(top) > 1 for top in best) < 0.04 * len(sizes)  # ties are rare, so the line above decides


@pytest.mark.parametrize("strategy", ["aspect", "area"])
def test_ties_are_broken_as_in_the_published_code(strategy):
    """Squares, round sizes and the middle between two ratios: where grids are equally good and rounding decides."""
    squares = [(side, side) for side in range(1, 5000)]
    round_sizes = [(width, height) for width in range(20, 4000, 100) for height in range(20, 4000, 100)]
    middles = [(5 * k, 6 * k) for k in range(1, 400)] + [(7 * k, 12 * k) for k in range(1, 300)]
    sizes = squares + round_sizes + middles
    assert chosen(sizes, strategy) == [published(*size, strategy) for size in sizes]


def test_the_table_of_ties_is_not_empty():
    ties = [side for side in range(2000, 2100) if len(best_on_paper(side, side, "area")) > 1]
    assert len(ties) > 50


@pytest.mark.parametrize(
    ("side", "grid"),
    [
        (448, (1, 1)),  # 1x1, 2x2 and 3x3 tie; half of 2x2 is 2 * 448**2, more than the image has
        (633, (1, 1)),  # 633**2 is just below 2 * 448**2
        (634, (2, 2)),
        (950, (2, 2)),  # 3x3 needs more than 4.5 * 448**2 = 950.4**2
        (951, (3, 3)),
    ],
)
def test_aspect_tie_goes_to_the_larger_grid_only_for_a_large_image(side, grid):
    assert choose_grid(side, side, strategy="aspect") == grid


def test_area_tie_goes_to_the_fewest_tiles():
    # Below the cap every square grid scores area-in-tiles / area; above it all reach 0.6 and the first stays.
    assert choose_grid(300, 300, strategy="area") == (1, 1)
    # A large square: 3x3 * 1 equals 3x4 * 0.75 and 4x3 * 0.75.
    assert choose_grid(4000, 4000, strategy="area") == (3, 3)
    # With at most two tiles: 1x1 * 1 equals 1x2 * 0.5.
    assert choose_grid(4000, 4000, strategy="area", max_tiles=2) == (1, 1)


def test_the_strategies_disagree_as_often_as_the_published_ones():
    sizes = random_sizes(20_000, 200, 3000)
    aspect, area = chosen(sizes, "aspect"), chosen(sizes, "area")
    assert sum(a != b for a, b in zip(aspect, area, strict=True)) / 20_000 == pytest.approx(0.284, abs=0.005)
    assert np.mean([i * j for i, j in aspect]) == pytest.approx(8.16, abs=0.05)
    assert np.mean([i * j for i, j in area]) == pytest.approx(9.29, abs=0.05)


def test_candidates_are_every_grid_within_the_limit():
    grids = candidate_grids(12)
    assert set(grids) == set(ALL_GRIDS)
    assert [i * j for i, j in grids] == sorted(i * j for i, j in grids)


@pytest.mark.parametrize("strategy", ["aspect", "area"])
def test_one_size_and_many_agree_over_any_number_of_candidates(strategy):
    sizes = random_sizes(300, 1, 5000, seed=2)
    for max_tiles, tile_size in ((1, 448), (2, 32), (6, 64), (12, 448), (40, 224)):
        options = {"max_tiles": max_tiles, "tile_size": tile_size}
        one_by_one = [choose_grid(*size, strategy=strategy, **options) for size in sizes]
        assert chosen(sizes, strategy, **options) == one_by_one
        assert max(cols * rows for cols, rows in one_by_one) <= max_tiles


def test_a_line_of_pixels_takes_no_more_tiles_than_any_picture():
    for strategy in ("aspect", "area"):
        assert choose_grid(10_000, 1, strategy=strategy) == (12, 1)
        assert choose_grid(1, 10_000, strategy=strategy) == (1, 12)


@pytest.mark.parametrize("strategy", ["aspect", "area"])
def test_grids_of_many_are_the_grids_of_each(strategy):
    sizes = random_sizes(200, 1, 3000) * (CHUNK // 100)  # more than two chunks
    cols, rows = choose_grids(*np.array(sizes, np.int32).T, strategy=strategy)
    assert cols.dtype == rows.dtype == np.int64
    assert list(zip(cols.tolist(), rows.tolist(), strict=True)) == [
        choose_grid(*size, strategy=strategy) for size in sizes
    ]
    empty = np.array([], np.int32)
    assert [side.shape for side in choose_grids(empty, empty, strategy=strategy)] == [(0,), (0,)]


def test_known_size():
    assert choose_grid(640, 480, strategy="area") == (4, 3)
    assert tile_count(640, 480, TilingSettings(strategy="area")) == 13


@pytest.mark.parametrize(("size", "strategy"), [((0, 5), "aspect"), ((5, 5), "nearest")])
def test_impossible_requests_are_named(size, strategy):
    with pytest.raises(AerieError, match=r"tile|strategy"):
        choose_grid(*size, strategy=strategy)
    with pytest.raises(AerieError, match=r"can't tile 7x-1 px"):
        choose_grids(np.array([5, 7]), np.array([5, -1]))
