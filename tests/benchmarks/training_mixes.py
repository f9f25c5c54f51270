"""What the packs of the training benchmark hold: lengths made up or real, as they are or padded."""

from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TILE_TOKENS, CAPACITY = 256, 16_384
Mix = tuple[tuple[int, int, int], ...]  # (tiles, text tokens, answer tokens) of each sample
EIGHT: Mix = ((6, 512, 128),) * 8  # 8 x 2,048 tokens
HALF: Mix = EIGHT[:4]  # 8,192 tokens, the longest samples of the paper's stage 1.5


def real_mix(seed: int = 0) -> Mix:
    """Samples of chart and document questions that fill a pack; a quarter of their text stands for the answers.

    Their lengths come from shared/data/packing_lengths.npz in or beside the project's folder; without it they are drawn
    with the same tiles (1 to 13) and up to 200 tokens of text.
    """
    dice, mix, room = np.random.default_rng(seed), [], CAPACITY
    for tiles, tokens in dice.permutation(_lengths(dice)).tolist():
        if tokens > room:
            break
        text = tokens - tiles * TILE_TOKENS
        mix.append((tiles, text, max(text // 4, 1)))
        room -= tokens
    return tuple(mix)


def padded(mix: Mix) -> Mix:
    """The same samples as rows of a batch: each as long as the longest one, with pictures as before."""
    longest = max(tiles * TILE_TOKENS + text for tiles, text, _ in mix)
    return tuple((tiles, longest - tiles * TILE_TOKENS, answers) for tiles, _, answers in mix)


def every_token_counts(mix: Mix) -> Mix:
    """The same samples, with a loss on all their tokens but the first."""
    return tuple((tiles, text, tiles * TILE_TOKENS + text - 1) for tiles, text, _ in mix)


def _lengths(dice: np.random.Generator) -> np.ndarray:
    for folder in (ROOT, ROOT.parent):
        path = folder / "shared" / "data" / "packing_lengths.npz"
        if path.exists():
            with np.load(path) as arrays:
                return np.concatenate([arrays[name] for name in sorted(arrays)]).astype(np.int64)
    tiles = dice.integers(1, 14, 4096)
    return np.stack([tiles, tiles * TILE_TOKENS + dice.integers(40, 200, 4096)], axis=1)
