"""Packs under improvement: in a round, many pairs of packs each swap one sample for one, where that helps."""

import numpy as np

from model.inputs.packing_items import Items, Limits

REPAIR_ROUNDS = 24
LEVEL_ROUNDS = 16
LEVEL_SHIFT = 0.07  # of the pairs, by round: a pack meets others each time
WORTH_A_ROUND = 0.01  # share of the pairs that must have swapped for another round of levelling
CHOICES = 16  # samples of a pack that a round considers
PAIRS_AT_ONCE = 512  # their choices fit into a core's cache


class SwappedPacks:
    """The pack of each item, and what each pack holds.

    Beside its items every pack has one empty place, so that a swap can also move an item. Numbers are whole and exact
    in float64, which is faster than int64, and sorts are stable: every machine finds the same swaps.
    """

    def __init__(self, items: Items, limits: Limits, packs: np.ndarray) -> None:
        """`packs` is the pack of each item, int64 [N], numbered from 0 without gaps."""
        self._limits, self.count, self._empty = limits, int(packs.max()) + 1, len(items)  # item N is an empty place
        self._item_tokens = np.append(items.tokens, 0).astype(np.float64)
        self._item_tiles = np.append(items.tiles, 0).astype(np.float64)
        self._item_work = np.square(self._item_tokens)
        self._tokens = np.bincount(packs, self._item_tokens[:-1])
        self._tiles = np.bincount(packs, self._item_tiles[:-1])
        self._work = np.bincount(packs, self._item_work[:-1])  # attention: sum of squared lengths
        places = np.concatenate([packs, np.arange(self.count)])
        self._members = np.minimum(np.argsort(places, kind="stable"), self._empty)
        self._sizes = np.bincount(places)
        self._starts = np.cumsum(self._sizes) - self._sizes

    def packs(self) -> np.ndarray:
        """The pack of each item, int64 [N]."""
        found = np.empty(self._empty + 1, np.int64)
        found[self._members] = np.repeat(np.arange(self.count), self._sizes)
        return found[:-1]

    def overfull(self) -> list[np.ndarray]:
        """The items, heaviest first, of each pack that holds more than it may."""
        places = [
            slice(self._starts[pack], self._starts[pack] + self._sizes[pack])
            for pack in np.flatnonzero(self._load() > 1)
        ]
        found = [np.sort(self._members[place]) for place in places]
        return [pack[pack < self._empty] for pack in found]

    def repair(self) -> None:
        """Swap between packs that hold too much, fullest first, and packs that don't, emptiest first."""
        for number in range(REPAIR_ROUNDS):
            load = self._load()
            order, fitting = np.argsort(load, kind="stable"), int(np.count_nonzero(load <= 1))
            pairs = min(fitting, self.count - fitting)
            if not pairs:
                return
            self._swap(order[::-1][:pairs], np.roll(order[:fitting], -number * pairs)[:pairs], number)

    def level(self) -> None:
        """Swap between packs with much and packs with little attention work."""
        pairs = self.count // 2
        for number in range(LEVEL_ROUNDS):
            order = np.argsort(self._work, kind="stable")
            light = np.roll(order[:pairs], int(number * LEVEL_SHIFT * pairs))
            if self._swap(order[::-1][:pairs], light, number) <= WORTH_A_ROUND * pairs:
                return

    def _load(self) -> np.ndarray:
        """What a pack holds of what it may, of the limit that it fills more; [P]."""
        load = self._tokens / self._limits.tokens
        return load if self._limits.tiles is None else np.maximum(load, self._tiles / self._limits.tiles)

    def _swap(self, heavy: np.ndarray, light: np.ndarray, turn: int) -> int:
        """The best swap of each pair of packs, [Q] and [Q], where one helps; how many there were."""
        starts = range(0, len(heavy), PAIRS_AT_ONCE)
        return sum(
            self._swap_some(heavy[start : start + PAIRS_AT_ONCE], light[start : start + PAIRS_AT_ONCE], turn)
            for start in starts
        )

    def _swap_some(self, heavy: np.ndarray, light: np.ndarray, turn: int) -> int:
        mine, theirs = self._choices(heavy, turn), self._choices(light, turn)  # places [Q, W]
        a, b = self._members[mine], self._members[theirs]
        costs = self._costs(heavy[:, None, None], light[:, None, None], a[:, :, None], b[:, None, :])
        best = costs.reshape(len(heavy), -1).argmin(axis=1)
        pair, (i, j) = np.arange(len(heavy)), np.unravel_index(best, costs.shape[1:])
        helps = costs[pair, i, j] < self._costs(heavy, light, self._empty, self._empty)
        pair, i, j = pair[helps], i[helps], j[helps]
        self._exchange(heavy[pair], light[pair], mine[pair, i], theirs[pair, j])
        return len(pair)

    def _choices(self, packs: np.ndarray, turn: int) -> np.ndarray:
        """Places of up to `CHOICES` members of each pack, evenly spread, others each turn; few repeat."""
        width, sizes = min(CHOICES, int(self._sizes[packs].max())), self._sizes[packs][:, None]
        return self._starts[packs][:, None] + (np.arange(width) * np.maximum(sizes, width) // width + turn) % sizes

    def _costs(self, heavy: np.ndarray, light: np.ndarray, a: np.ndarray | int, b: np.ndarray | int) -> np.ndarray:
        """What two packs would be worth after swapping item `a` of `heavy` for `b` of `light`; less is better.

        The tokens above the limit come first (tiles above theirs count as the tokens that a pack has for each), the
        difference in attention work decides among the rest.
        """
        moved, room = self._item_tokens[a] - self._item_tokens[b], self._limits.tokens - self._tokens
        excess = np.maximum(-room[heavy] - moved, 0) + np.maximum(moved - room[light], 0)
        if self._limits.tiles is not None:
            moved, room = self._item_tiles[a] - self._item_tiles[b], self._limits.tiles - self._tiles
            above = np.maximum(-room[heavy] - moved, 0) + np.maximum(moved - room[light], 0)
            excess += above * (self._limits.tokens // self._limits.tiles + 1)
        gap = self._work[heavy] - self._work[light] - 2 * self._item_work[a] + 2 * self._item_work[b]
        return np.abs(gap) + excess * (4.0 * self._limits.tokens**2)

    def _exchange(self, heavy: np.ndarray, light: np.ndarray, mine: np.ndarray, theirs: np.ndarray) -> None:
        """Swap the items at places `mine` and `theirs`; no pack is named twice."""
        a, b = self._members[mine], self._members[theirs]
        self._members[mine], self._members[theirs] = b, a
        for held, values in (
            (self._tokens, self._item_tokens),
            (self._tiles, self._item_tiles),
            (self._work, self._item_work),
        ):
            held[heavy] += values[b] - values[a]
            held[light] += values[a] - values[b]
