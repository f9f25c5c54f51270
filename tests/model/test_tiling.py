"""The grid rules against their published definitions, and the pixels of the tiles."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data.errors import AerieError
from model.config import TilingSettings
from model.inputs.tiling import candidate_grids, choose_grid, tile_count, tile_image

SIZES = st.integers(1, 5000)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_candidates_are_every_grid_within_the_limit():
    grids = candidate_grids(12)
    assert set(grids) == {(i, j) for i in range(1, 13) for j in range(1, 13) if i * j <= 12}
    assert [i * j for i, j in grids] == sorted(i * j for i, j in grids)


@given(SIZES, SIZES, st.integers(1, 12))
def test_aspect_takes_a_closest_ratio(width, height, max_tiles):
    cols, rows = choose_grid(width, height, max_tiles=max_tiles, strategy="aspect")
    best = min(abs(width / height - i / j) for i, j in candidate_grids(max_tiles))
    assert abs(width / height - cols / rows) == best


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


@given(SIZES, SIZES)
def test_area_takes_a_best_score(width, height):
    def score(cols, rows):
        target, aspect = cols / rows, width / height
        covered = min(cols * rows * 448 * 448 / (width * height), 0.6)
        return covered * min(target / aspect, aspect / target)

    chosen = choose_grid(width, height, strategy="area")
    assert score(*chosen) == max(score(*grid) for grid in candidate_grids(12))


def test_area_tie_goes_to_the_fewest_tiles():
    # Below the cap every square grid scores area-in-tiles / area; above it all reach 0.6 and the first stays.
    assert choose_grid(300, 300, strategy="area") == (1, 1)
    # A large square: 3x3 * 1 equals 3x4 * 0.75 and 4x3 * 0.75.
    assert choose_grid(4000, 4000, strategy="area") == (3, 3)
    # With at most two tiles: 1x1 * 1 equals 1x2 * 0.5.
    assert choose_grid(4000, 4000, strategy="area", max_tiles=2) == (1, 1)


def test_the_strategies_disagree_as_often_as_the_published_ones():
    generator = random.Random(0)
    sizes = [(generator.randint(200, 3000), generator.randint(200, 3000)) for _ in range(20_000)]
    aspect = [choose_grid(*size, strategy="aspect") for size in sizes]
    area = [choose_grid(*size, strategy="area") for size in sizes]
    assert sum(a != b for a, b in zip(aspect, area, strict=True)) / 20_000 == pytest.approx(0.284, abs=0.005)
    assert np.mean([i * j for i, j in aspect]) == pytest.approx(8.16, abs=0.05)
    assert np.mean([i * j for i, j in area]) == pytest.approx(9.29, abs=0.05)


def test_known_size():
    assert choose_grid(640, 480, strategy="area") == (4, 3)
    assert tile_count(640, 480, TilingSettings(strategy="area")) == 13


def test_tiles_are_cut_row_by_row_without_loss():
    image = noise(96, 64)
    settings_ = TilingSettings(tile_size=32, max_tiles=6, strategy="aspect", thumbnail=False)
    tiles = tile_image(image, settings_)
    assert tiles.shape == (6, 32, 32, 3)
    assert tiles.dtype == np.uint8
    pixels = np.asarray(image)  # 96x64 is exactly 3x2 tiles: the resize changes nothing
    for number in range(6):
        row, col = divmod(number, 3)
        assert (tiles[number] == pixels[row * 32 : row * 32 + 32, col * 32 : col * 32 + 32]).all()


def test_thumbnail_is_the_last_tile_and_only_beside_a_grid():
    image = noise(96, 64)
    settings_ = TilingSettings(tile_size=32, max_tiles=6, strategy="aspect")
    tiles = tile_image(image, settings_)
    assert len(tiles) == 7
    assert (tiles[-1] == np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC))).all()
    assert len(tile_image(noise(32, 32), settings_)) == 1
    assert len(tile_image(image, settings_.model_copy(update={"thumbnail": False}))) == 6


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from(["aspect", "area"]), st.booleans())
def test_count_without_pixels_equals_the_tiles(width, height, strategy, thumbnail):
    settings_ = TilingSettings(tile_size=32, max_tiles=6, strategy=strategy, thumbnail=thumbnail)
    assert len(tile_image(noise(width, height), settings_)) == tile_count(width, height, settings_)


def test_grey_and_transparent_images_become_rgb():
    settings_ = TilingSettings(tile_size=32, max_tiles=1)
    for mode in ("L", "RGBA", "P", "1"):
        assert tile_image(Image.new(mode, (40, 30)), settings_).shape == (1, 32, 32, 3)


@pytest.mark.parametrize(("size", "strategy"), [((0, 5), "aspect"), ((5, 5), "nearest")])
def test_impossible_requests_are_named(size, strategy):
    with pytest.raises(AerieError, match=r"tile|strategy"):
        choose_grid(*size, strategy=strategy)
