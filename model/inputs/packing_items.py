"""What a packing strategy works on: the samples longest first, and what a pack may hold."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Limits:
    """At most `tokens` tokens and, unless None, at most `tiles` tiles in a pack."""

    tokens: int
    tiles: int | None = None


@dataclass(frozen=True, slots=True)
class Items:
    """N samples, longest first, of equal ones that with more tiles first: tokens and tiles, int64 [N] each."""

    tokens: np.ndarray
    tiles: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)

    def chosen(self, which: np.ndarray | slice) -> "Items":
        """Some of the items, in the same order."""
        return Items(self.tokens[which], self.tiles[which])


def packs_needed(items: Items, limits: Limits) -> int:
    """The least number of packs that could hold the samples if they could be split."""
    by_tokens = -(-int(items.tokens.sum()) // limits.tokens)
    by_tiles = -(-int(items.tiles.sum()) // limits.tiles) if limits.tiles else 0
    return max(by_tokens, by_tiles)
