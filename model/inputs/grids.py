"""How many tiles a picture becomes: the grid that fits its size best. Pure geometry, no pixels."""

from functools import lru_cache
from typing import Literal

import numpy as np

from data.errors import AerieError
from model.config import TilingSettings

Strategy = Literal["aspect", "area"]
AREA_CAP = 0.6  # Eagle 2.5: more than 60 % of the image's own area in tiles brings nothing
TIE_SHARE = 0.5  # InternVL 1.5: on equal aspect ratios the larger grid needs an image of half its area
CHUNK = 8192  # sizes looked at together: their table of 35 grids stays in the processor's cache


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
    """`choose_grids` for one picture of `width` x `height` pixels: (cols, rows)."""
    cols, rows = choose_grids(
        np.array([width]), np.array([height]), max_tiles=max_tiles, tile_size=tile_size, strategy=strategy
    )
    return int(cols[0]), int(rows[0])


def choose_grids(
    widths: np.ndarray,
    heights: np.ndarray,
    *,
    max_tiles: int = 12,
    tile_size: int = 448,
    strategy: Strategy = "aspect",
) -> tuple[np.ndarray, np.ndarray]:
    """cols [N] and rows [N], int64, of tiles for pictures of `widths` [N] x `heights` [N] pixels.

    `aspect` (InternVL 1.5): the closest aspect ratio; on a tie the larger grid if the image exceeds half its area.
    `area` (Eagle 2.5): the best product of covered area (capped) and aspect agreement; on a tie the earlier candidate
    (fewest tiles, then fewest columns). The two disagree on about 28 % of sizes, so exports must carry the choice.

    The rules are computed as the published code does, in doubles and in its order of operations: where two grids are
    equally good on paper (2.5 % of random sizes under `area`), rounding chooses, and must choose as it does there and
    in the servers that copied it. IEEE arithmetic rounds alike on every machine. `AerieError` on an impossible request.
    """
    widths, heights = np.asarray(widths), np.asarray(heights)
    _check_sizes(widths, heights, max_tiles, tile_size)
    if strategy not in ("aspect", "area"):
        raise AerieError(f"unknown tiling strategy {strategy!r}; choose aspect or area")
    grids = np.array(candidate_grids(max_tiles))
    rule = _closest_aspect if strategy == "aspect" else _best_area
    chosen = np.empty((len(widths), 2), np.int64)
    for start in range(0, len(widths), CHUNK):
        part = slice(start, start + CHUNK)
        width, height = (sides[part, None].astype(np.float64) for sides in (widths, heights))
        chosen[part] = grids[rule(width / height, width * height, grids, tile_size)]
    return chosen[:, 0], chosen[:, 1]


def _check_sizes(widths: np.ndarray, heights: np.ndarray, max_tiles: int, tile_size: int) -> None:
    possible = (widths >= 1) & (heights >= 1) & (max_tiles >= 1) & (tile_size >= 1)
    if not possible.all():
        first = int(possible.argmin())
        size = f"{widths[first]}x{heights[first]}"
        raise AerieError(f"can't tile {size} px into at most {max_tiles} tiles of {tile_size} px")


def _closest_aspect(aspect: np.ndarray, area: np.ndarray, grids: np.ndarray, tile_size: int) -> np.ndarray:
    """Indices [N] into `grids` [G, 2] for `aspect` [N, 1] and `area` [N, 1]."""
    cols, rows = grids.T
    differences = np.abs(aspect - cols / rows)
    closest = differences == differences.min(axis=1, keepdims=True)
    large = closest & (area > TIE_SHARE * tile_size * tile_size * cols * rows)
    last_large = len(grids) - 1 - large[:, ::-1].argmax(axis=1)
    return np.where(large.any(axis=1), last_large, closest.argmax(axis=1))


def _best_area(aspect: np.ndarray, area: np.ndarray, grids: np.ndarray, tile_size: int) -> np.ndarray:
    """Indices [N] into `grids` [G, 2] for `aspect` [N, 1] and `area` [N, 1]."""
    cols, rows = grids.T
    target = cols / rows
    covered = np.minimum(cols * rows * tile_size * tile_size / area, AREA_CAP)
    return (covered * np.minimum(target / aspect, aspect / target)).argmax(axis=1)


def grid_of(width: int, height: int, settings: TilingSettings) -> tuple[int, int]:
    """`choose_grid` with a recipe's settings."""
    return choose_grid(
        width, height, max_tiles=settings.max_tiles, tile_size=settings.tile_size, strategy=settings.strategy
    )


def tile_count(width: int, height: int, settings: TilingSettings) -> int:
    """How many tiles `tile_image` makes of an image of this size, the thumbnail included."""
    cols, rows = grid_of(width, height, settings)
    return cols * rows + (settings.thumbnail and cols * rows > 1)
