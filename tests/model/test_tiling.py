"""The pixels of the tiles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data.images import ImageProblemError
from model.config import TilingSettings
from model.inputs.grids import choose_grid, tile_count
from model.inputs.tiling import tile_image


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def the_plain_way(image: Image.Image, strategy: str) -> np.ndarray:
    """What the reference does: resize to the grid, crop tile by tile, resize to the thumbnail; all by Pillow."""
    cols, rows = choose_grid(*image.size, strategy=strategy)
    whole = image.resize((cols * 448, rows * 448), Image.Resampling.BICUBIC)
    corners = [(448 * (number % cols), 448 * (number // cols)) for number in range(cols * rows)]
    tiles = [whole.crop((left, top, left + 448, top + 448)) for left, top in corners]
    if len(tiles) > 1:
        tiles.append(image.resize((448, 448), Image.Resampling.BICUBIC))
    return np.stack([np.asarray(tile) for tile in tiles])


@pytest.mark.parametrize("strategy", ["aspect", "area"])
@pytest.mark.parametrize("size", [(640, 480), (877, 1241), (300, 300), (33, 1999), (1, 700), (2500, 17)])
def test_tiles_are_those_of_the_plain_way(size, strategy):
    image = noise(*size)
    assert (tile_image(image, TilingSettings(strategy=strategy)) == the_plain_way(image, strategy)).all()


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


def test_pictures_of_other_modes_become_rgb():
    settings_ = TilingSettings(tile_size=32, max_tiles=1)
    for mode in ("L", "RGBA", "P", "1", "CMYK", "I;16"):
        assert tile_image(Image.new(mode, (40, 30)), settings_).shape == (1, 32, 32, 3)
    hidden = Image.new("RGBA", (40, 30), (0, 0, 0, 0))  # black under nothing
    assert (tile_image(hidden, settings_) == 255).all()
    with pytest.raises(ImageProblemError, match="no known range"):
        tile_image(Image.new("F", (40, 30)), settings_)
