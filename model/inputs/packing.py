"""Which samples share a pack: four strategies, none ever splits a sample or exceeds the limits."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from data.errors import AerieError
from model.inputs.packing_balanced import balanced
from model.inputs.packing_greedy import best_fit, first_fit, reference
from model.inputs.packing_items import Items, Limits
from model.inputs.packing_plan import PackPlan

Strategy = Literal["balanced", "best_fit", "first_fit", "reference"]
STRATEGIES: dict[Strategy, Callable[[Items, Limits], np.ndarray]] = {
    "balanced": balanced,
    "best_fit": best_fit,
    "first_fit": first_fit,
    "reference": reference,
}


def plan_packs(
    lengths: ArrayLike,
    capacity: int,
    *,
    strategy: Strategy = "balanced",
    tiles: ArrayLike | None = None,
    max_tiles: int | None = None,
) -> PackPlan:
    """Packs of sample numbers: every sample in exactly one pack, at most `capacity` tokens (and `max_tiles`) in each.

    `lengths` and `tiles` are whole numbers, one a sample; `AerieError` for a sample that no pack can hold.
    All strategies take the longest sample first. A plan depends on the lengths and tiles alone; which of the samples
    that are equal in both goes where depends on the given order.
    - `balanced`: hardly more packs than the tokens need, all about as full and with about equal attention work
      (`packing_balanced`).
    - `best_fit`: the fullest pack that has room: few packs, but long samples sit with long ones.
    - `first_fit`: the oldest pack that has room.
    - `reference`: the published Eagle 2.5 sampler, worst fit decreasing: ceil(sum / L) + 20 packs are open from the
      start, each sample goes to the emptiest one, a new pack is opened when it has no room.
    """
    if strategy not in STRATEGIES:
        raise AerieError(f"unknown packing strategy {strategy!r}; choose from {list(STRATEGIES)}")
    limits = Limits(capacity, max_tiles)
    tokens = np.asarray(lengths, dtype=np.int64)
    counts = np.zeros_like(tokens) if tiles is None or max_tiles is None else np.asarray(tiles, dtype=np.int64)
    _check(tokens, counts, limits)
    if not len(tokens):
        return PackPlan(np.zeros(0, np.int64), np.zeros(1, np.int64))
    order = np.lexsort((-counts, -tokens))
    return PackPlan.of(STRATEGIES[strategy](Items(tokens[order], counts[order]), limits), order)


def _check(tokens: np.ndarray, tiles: np.ndarray, limits: Limits) -> None:
    """`AerieError` names the first sample that no pack can hold."""
    if len(tokens) != len(tiles):
        raise AerieError(f"{len(tokens)} lengths but {len(tiles)} tile counts")
    for sample in np.flatnonzero((tokens < 1) | (tokens > limits.tokens))[:1]:
        raise AerieError(
            f"sample {sample} has {tokens[sample]} tokens, a pack holds 1 to {limits.tokens}; drop it before packing"
        )
    if limits.tiles is not None:
        for sample in np.flatnonzero(tiles > limits.tiles)[:1]:
            raise AerieError(
                f"sample {sample} has {tiles[sample]} tiles, a pack holds {limits.tiles}; drop it before packing"
            )
