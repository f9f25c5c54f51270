"""Tiles a second from a JPEG to uint8 tiles, against the plain way: Pillow and torchvision's transforms, tile by tile.

    python tests/benchmarks/bench_tiling.py [--repeats 15] [--strategy area] [--quality 90] [--json]

One process, one thread, both ways in turns, so that they share whatever else the machine does; CPU seconds, median.
The plain way decodes with Pillow, resizes to the grid (bicubic), crops each tile, and turns it into normalised float32
(ToTensor, Normalize); then the thumbnail. Ours gives the same pixels as bytes (largest difference: `max_difference`,
of 255); the towers normalise on their device. Parts of ours stand beside: decoding, the copy out of Pillow, resizes.
"""
# ruff: noqa: E402 (threads and paths are set first)

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import Compose, Normalize, ToTensor

from data.images import decode_image
from model.config import TilingSettings
from model.inputs.grids import grid_of
from model.inputs.resize import resize
from model.inputs.tiling import tile_image

SIZES = ((640, 480), (1240, 1754), (2480, 3508))  # a photograph, an A4 page at 150 and at 300 dots an inch
NORMALISED = Compose([ToTensor(), Normalize((0.5,) * 3, (0.5,) * 3)])  # SigLIP's


def jpeg(width: int, height: int, quality: int) -> bytes:
    """An encoded picture with the detail of photographs: noise at every scale."""
    dice = np.random.default_rng(0)
    picture = np.zeros((height, width, 3), np.float32)
    for step, weight in ((1, 0.05), (4, 0.15), (16, 0.3), (80, 0.5)):
        layer = dice.integers(0, 256, (-(-height // step), -(-width // step), 3), np.uint8)
        picture += weight * np.asarray(Image.fromarray(layer).resize((width, height)), np.float32)
    sink = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def plain_tiles(payload: bytes, settings: TilingSettings) -> torch.Tensor:
    """float32 [P, 3, S, S], the straightforward way."""
    image = Image.open(io.BytesIO(payload)).convert("RGB")
    (cols, rows), size = grid_of(image.width, image.height, settings), settings.tile_size
    whole = image.resize((cols * size, rows * size), Image.Resampling.BICUBIC)
    corners = [(size * (number % cols), size * (number // cols)) for number in range(cols * rows)]
    tiles = [NORMALISED(whole.crop((left, top, left + size, top + size))) for left, top in corners]
    if settings.thumbnail and len(tiles) > 1:
        tiles.append(NORMALISED(image.resize((size, size), Image.Resampling.BICUBIC)))
    return torch.stack(tiles)


def our_tiles(payload: bytes, settings: TilingSettings) -> np.ndarray:
    """uint8 [P, S, S, 3], as the loader makes them."""
    return tile_image(decode_image(payload), settings)


def medians(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """CPU seconds of each way, in turns; the first turn warms up."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            begin = time.process_time()
            way()
            spent[name].append(time.process_time() - begin)
    return {name: float(np.median(seconds[1:])) for name, seconds in spent.items()}


def measured(size: tuple[int, int], settings: TilingSettings, quality: int, repeats: int) -> dict[str, Any]:
    """Both ways for one size of picture, and the parts of ours."""
    payload = jpeg(*size, quality)
    plain, ours = plain_tiles(payload, settings), our_tiles(payload, settings)
    pixels = ((plain * 0.5 + 0.5) * 255).round().permute(0, 2, 3, 1).numpy()
    image = decode_image(payload)
    array = np.asarray(image)
    (cols, rows), side = grid_of(*size, settings), settings.tile_size
    ways = {
        "plain": lambda: plain_tiles(payload, settings),
        "ours": lambda: our_tiles(payload, settings),
        "decode": lambda: decode_image(payload),
        "copy": lambda: np.asarray(image),
        "grid": lambda: resize(array, cols * side, rows * side),
        "thumbnail": lambda: resize(array, side, side),
    }
    seconds = medians(ways, repeats)
    return {
        "size": f"{size[0]}x{size[1]}",
        "tiles": len(ours),
        "plain_tiles_per_second": len(ours) / seconds["plain"],
        "tiles_per_second": len(ours) / seconds["ours"],
        "ratio": seconds["plain"] / seconds["ours"],
        "max_difference": int(np.abs(pixels - ours).max()),
        "milliseconds": {name: 1000 * spent for name, spent in seconds.items()},
    }


def average(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The mean of the ratios, and the ratio of all tiles over all time: the large pictures weigh more there."""
    plain, ours = (sum(row["milliseconds"][way] for row in rows) for way in ("plain", "ours"))
    return {"mean_ratio": float(np.mean([row["ratio"] for row in rows])), "ratio_of_all": plain / ours}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--strategy", choices=["area", "aspect"], default="area")
    parser.add_argument("--quality", type=int, default=90)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = TilingSettings(strategy=options.strategy)
    rows = [measured(size, settings, options.quality, options.repeats) for size in SIZES]
    found = {"strategy": options.strategy, "sizes": rows, **average(rows)}
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for row in rows:
        parts = ", ".join(f"{name} {spent:.1f}" for name, spent in row["milliseconds"].items())
        speeds = f"{row['tiles_per_second']:.0f} tiles/s, plain {row['plain_tiles_per_second']:.0f}"
        print(
            f"{row['size']}: {row['tiles']} tiles, {speeds}, ratio {row['ratio']:.2f}, off by {row['max_difference']}"
        )
        print(f"  ms: {parts}")
    print(f"mean of ratios {found['mean_ratio']:.2f}, all tiles over all time {found['ratio_of_all']:.2f}")


if __name__ == "__main__":
    main()
