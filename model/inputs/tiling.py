"""Image to tiles: the grid of tiles that fits the picture best, and the pixels of each tile."""

from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image

from data.errors import AerieError
from model.config import TilingSettings

Strategy = Literal["aspect", "area"]
AREA_CAP = 0.6  # Eagle 2.5: more than 60 % of the image's own area in tiles brings nothing
TIE_SHARE = 0.5  # InternVL 1.5: on equal aspect ratios the larger grid needs an image of half its area


@lru_cache(maxsize=64)
def candidate_grids(max_tiles: int) -> tuple[tuple[int, int], ...]:
    """All (cols, rows) with 1 <= cols * rows <= max_tiles: fewest tiles first, then fewest columns.

    The published code sorts by the number of tiles alone; equal numbers follow the order of a Python set there.
    """
    grids = [(cols, rows) for cols in range(1, max_tiles + 1) for rows in range(1, max_tiles // cols + 1)]
    return tuple(sorted(grids, key=lambda grid: (grid[0] * grid[1], grid[0])))


@lru_cache(maxsize=65536)
def choose_grid(
    width: int, height: int, *, max_tiles: int = 12, tile_size: int = 448, strategy: Strategy = "aspect"
) -> tuple[int, int]:
    """(cols, rows) of tiles for an image of `width` x `height` pixels.

    `aspect` (InternVL 1.5): the closest aspect ratio; on a tie the larger grid if the image exceeds half its area.
    `area` (Eagle 2.5): the best product of covered area (capped) and aspect agreement; on a tie the earlier candidate
    (fewest tiles, then fewest columns). The two disagree on about 28 % of sizes, so exports must carry the choice.
    """
    if width < 1 or height < 1 or max_tiles < 1 or tile_size < 1:
        raise AerieError(f"can't tile {width}x{height} px into at most {max_tiles} tiles of {tile_size} px")
    if strategy == "aspect":
        return _closest_aspect(width, height, max_tiles, tile_size)
    if strategy == "area":
        return _best_area(width, height, max_tiles, tile_size)
    raise AerieError(f"unknown tiling strategy {strategy!r}; choose aspect or area")


def _closest_aspect(width: int, height: int, max_tiles: int, tile_size: int) -> tuple[int, int]:
    aspect, area = width / height, width * height
    best, best_difference = (1, 1), float("inf")
    for cols, rows in candidate_grids(max_tiles):
        difference = abs(aspect - cols / rows)
        larger_pays = area > TIE_SHARE * tile_size * tile_size * cols * rows
        if difference < best_difference or (difference == best_difference and larger_pays):
            best, best_difference = (cols, rows), difference
    return best


def _best_area(width: int, height: int, max_tiles: int, tile_size: int) -> tuple[int, int]:
    aspect, area = width / height, width * height
    best, best_score = (1, 1), float("-inf")
    for cols, rows in candidate_grids(max_tiles):
        target = cols / rows
        covered = min(cols * rows * tile_size * tile_size / area, AREA_CAP)
        score = covered * min(target / aspect, aspect / target)
        if score > best_score:
            best, best_score = (cols, rows), score
    return best


def grid_of(width: int, height: int, settings: TilingSettings) -> tuple[int, int]:
    """`choose_grid` with a recipe's settings."""
    return choose_grid(
        width, height, max_tiles=settings.max_tiles, tile_size=settings.tile_size, strategy=settings.strategy
    )


def tile_count(width: int, height: int, settings: TilingSettings) -> int:
    """How many tiles `tile_image` makes of an image of this size, the thumbnail included."""
    cols, rows = grid_of(width, height, settings)
    return cols * rows + (settings.thumbnail and cols * rows > 1)


def tile_image(image: Image.Image, settings: TilingSettings) -> np.ndarray:
    """The image's tiles, uint8 [P, S, S, 3], row by row from the top left; the thumbnail last when there is a grid.

    One bicubic resize to the whole grid, then a cut: neighbouring tiles share no pixel and lose none.
    """
    image, size = image.convert("RGB"), settings.tile_size
    cols, rows = grid_of(image.width, image.height, settings)
    pixels = _resized(image, cols * size, rows * size)
    tiles = pixels.reshape(rows, size, cols, size, 3).transpose(0, 2, 1, 3, 4).reshape(-1, size, size, 3)
    if settings.thumbnail and len(tiles) > 1:
        tiles = np.concatenate([tiles, _resized(image, size, size)[None]])
    return np.ascontiguousarray(tiles)


def _resized(image: Image.Image, width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3]."""
    return np.array(image.resize((width, height), Image.Resampling.BICUBIC))
