"""The balanced strategy: packs of equal weight, made to fit by swaps, then levelled by swaps.

1. Deal: with a fixed number of packs, each sample, longest first, goes to the emptiest pack, whether it fits or not.
2. Repair: packs that hold too much swap samples with packs that hold little. What still doesn't fit gets new packs.
3. Level: packs with much attention work (sum of squared lengths) swap with packs that have little.

With hardly more packs than the tokens need, a strategy that never looks back must open new packs at the end or put
long samples together. Swaps of samples of nearly equal length make room and keep the balance.
"""

from collections.abc import Iterator

import numpy as np

from model.inputs.packing_greedy import best_fit
from model.inputs.packing_items import Items, Limits, packs_needed
from model.inputs.packing_swaps import SwappedPacks

PART = 20_000  # samples on which the number of packs to deal into is searched when there are many more
FINENESS = 500  # the search starts with steps of one pack in so many


def balanced(items: Items, limits: Limits) -> np.ndarray:
    """The pack of each item, int64 [N].

    Without a tile limit and with less than 2 * `PART` samples never more packs than `best_fit`; with more samples the
    number of packs comes from a part of them, drawn evenly over the lengths.
    """
    weights = _weights(items, limits)
    order = np.argsort(-weights, kind="stable")
    weights, ordered, stride = weights[order], items.chosen(order), len(items) // PART
    if stride < 2:
        packs, _ = _fewest_packs(ordered, weights, limits)
    else:
        _, share = _fewest_packs(ordered.chosen(slice(None, None, stride)), weights[::stride], limits)
        dealt = int(np.ceil(packs_needed(items, limits) * share)) if share else 0
        packs = _fitted(ordered, weights, limits, dealt) if dealt else best_fit(ordered, limits)
    final = SwappedPacks(ordered, limits, packs)
    final.level()
    found = np.empty(len(items), np.int64)
    found[order] = final.packs()
    return found


def _weights(items: Items, limits: Limits) -> np.ndarray:
    """An item's share of the limit that it uses more, as a whole number; [N]."""
    if limits.tiles is None:
        return items.tokens
    return np.maximum(items.tokens * limits.tiles, items.tiles * limits.tokens)


def _fewest_packs(items: Items, weights: np.ndarray, limits: Limits) -> tuple[np.ndarray, float]:
    """The plan with the fewest packs, and into how many of those needed it was dealt; 0: best fit has fewer."""
    needed = packs_needed(items, limits)
    best, share = best_fit(items, limits), 0.0
    fewest = int(best.max()) + 2  # best fit gives way to an equal number
    dealt, step = needed, max(needed // FINENESS, 1)
    while dealt < fewest:
        packs = _fitted(items, weights, limits, dealt)
        count = int(packs.max()) + 1
        if count < fewest:
            best, fewest, share = packs, count, dealt / needed
        dealt, step = dealt + step, step + max(step // 2, 1)
    return best, share


def _fitted(items: Items, weights: np.ndarray, limits: Limits, count: int) -> np.ndarray:
    """Dealt into `count` packs and repaired; what doesn't fit is in further packs. The pack of each item, [N]."""
    dealt = SwappedPacks(items, limits, deal(weights, count))
    dealt.repair()
    packs = dealt.packs()
    left = np.array([item for pack in dealt.overfull() for item in _too_much(pack, items, limits)], dtype=np.int64)
    left.sort()
    packs[left] = count + best_fit(items.chosen(left), limits)
    return packs


def _too_much(pack: np.ndarray, items: Items, limits: Limits) -> Iterator[int]:
    """The items to take out of a pack: from the longest on, each stays that fits beside those before it."""
    tokens, tiles = 0, 0
    for item in pack.tolist():
        more_tokens, more_tiles = int(items.tokens[item]), int(items.tiles[item])
        if tokens + more_tokens <= limits.tokens and (limits.tiles is None or tiles + more_tiles <= limits.tiles):
            tokens, tiles = tokens + more_tokens, tiles + more_tiles
        else:
            yield item


def deal(weights: np.ndarray, packs: int) -> np.ndarray:
    """The pack of each item, int64 [N], when each in turn goes to the emptiest of `packs`; heaviest first.

    That is longest-processing-time-first (LPT), in rounds instead of one by one: as long as the i-th emptiest pack is
    no fuller than the emptiest will be with its item, the i-th item goes to the i-th emptiest pack.
    """
    loads, numbers, found = np.zeros(packs, np.int64), np.arange(packs), np.empty(len(weights), np.int64)
    start = 0
    while start < len(weights):
        some = weights[start : start + packs]
        size = int(np.searchsorted(loads[: len(some)] - some, loads[0], side="right"))  # loads rise, weights fall
        found[start : start + size] = numbers[:size]
        loads[:size] += some[:size]
        start += size
        moved = size + int(np.searchsorted(loads[size:], loads[:size].max(), side="right"))
        order = np.argsort(loads[:moved], kind="stable")
        loads[:moved], numbers[:moved] = loads[:moved][order], numbers[:moved][order]
    return found
