"""The pixels of a picture's tiles: one resize to the whole grid, a cut, and the thumbnail."""

import numpy as np
from PIL import Image

from data.images import to_rgb
from model.config import TilingSettings
from model.inputs.grids import grid_of, tile_count
from model.inputs.resize import resize


def tile_image(image: Image.Image, settings: TilingSettings) -> np.ndarray:
    """The image's tiles, uint8 [P, S, S, 3], row by row from the top left; the thumbnail last when there is a grid.

    One bicubic resize to the whole grid, then a cut: neighbouring tiles share no pixel and lose none. Any mode of
    picture becomes RGB first (`to_rgb`). The towers normalise on their device: bytes are a quarter of floats.
    """
    pixels, size = np.asarray(to_rgb(image)), settings.tile_size
    cols, rows = grid_of(image.width, image.height, settings)
    tiles = np.empty((tile_count(image.width, image.height, settings), size, size, 3), np.uint8)
    grid = resize(pixels, cols * size, rows * size).reshape(rows, size, cols, size, 3)
    tiles[: rows * cols].reshape(rows, cols, size, size, 3)[:] = grid.transpose(0, 2, 1, 3, 4)
    if len(tiles) > rows * cols:
        tiles[-1] = resize(pixels, size, size)
    return tiles
