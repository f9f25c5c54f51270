"""Which samples share a pack: four strategies, none ever splits a sample or exceeds the capacity."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from data.errors import AerieError

Strategy = Literal["balanced", "best_fit", "first_fit", "reference"]
REFERENCE_SPARE_PACKS = 20  # the published sampler opens that many packs more than the tokens need
TRIES = 32  # packs looked at when the tile limit refuses one that has the room in tokens; keeps a plan O(n log n)


@dataclass
class _Plan:
    """Packs under construction: what each holds and what still fits."""

    capacity: int
    max_tiles: int | None
    packs: list[list[int]] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    tiles: list[int] = field(default_factory=list)

    def open(self) -> int:
        """A new empty pack's number."""
        self.packs.append([])
        self.tokens.append(0)
        self.tiles.append(0)
        return len(self.packs) - 1

    def fits(self, pack: int, tokens: int, tiles: int) -> bool:
        """Whether a sample still fits into a pack."""
        return self.tokens[pack] + tokens <= self.capacity and (
            self.max_tiles is None or self.tiles[pack] + tiles <= self.max_tiles
        )

    def put(self, pack: int, sample: int, tokens: int, tiles: int) -> None:
        """Add a sample to a pack."""
        self.packs[pack].append(sample)
        self.tokens[pack] += tokens
        self.tiles[pack] += tiles


Items = list[tuple[int, int, int]]  # (sample, tokens, tiles), longest first


def plan_packs(
    lengths: Sequence[int],
    capacity: int,
    *,
    strategy: Strategy = "balanced",
    tiles: Sequence[int] | None = None,
    max_tiles: int | None = None,
) -> list[list[int]]:
    """Packs of sample numbers: every sample in exactly one pack, at most `capacity` tokens (and `max_tiles`) in each.

    All strategies take the longest sample first, equal lengths in the given order, so a plan depends on nothing else.
    - `balanced`: as many packs as the tokens need are open from the start; each sample goes to the emptiest that has
      room, a new pack is opened when none has. Long samples meet short ones, packs weigh nearly the same.
    - `best_fit`: the fullest pack that has room: few packs, but long samples sit with long ones.
    - `first_fit`: the oldest pack that has room.
    - `reference`: the published Eagle 2.5 sampler: as `balanced` with 20 spare packs, so packs stay emptier.
    """
    if strategy not in STRATEGIES:
        raise AerieError(f"unknown packing strategy {strategy!r}; choose from {list(STRATEGIES)}")
    items = _checked(lengths, capacity, tiles, max_tiles)
    plan = _Plan(capacity, max_tiles)
    STRATEGIES[strategy](plan, items)
    return [pack for pack in plan.packs if pack]


def _checked(lengths: Sequence[int], capacity: int, tiles: Sequence[int] | None, max_tiles: int | None) -> Items:
    """The samples, longest first; `AerieError` for one that no pack can hold."""
    counts = [0] * len(lengths) if tiles is None or max_tiles is None else list(tiles)
    if len(counts) != len(lengths):
        raise AerieError(f"{len(lengths)} lengths but {len(counts)} tile counts")
    for sample, (length, count) in enumerate(zip(lengths, counts, strict=True)):
        if not 0 < length <= capacity:
            raise AerieError(
                f"sample {sample} has {length} tokens, a pack holds 1 to {capacity}; drop it before packing"
            )
        if max_tiles is not None and count > max_tiles:
            raise AerieError(f"sample {sample} has {count} tiles, a pack holds {max_tiles}; drop it before packing")
    order = sorted(range(len(lengths)), key=lambda sample: -lengths[sample])
    return [(sample, int(lengths[sample]), int(counts[sample])) for sample in order]


def packs_needed(items: Items, capacity: int, max_tiles: int | None) -> int:
    """The least number of packs that could hold the samples if they could be split."""
    by_tokens = -(-sum(tokens for _, tokens, _ in items) // capacity)
    by_tiles = -(-sum(count for _, _, count in items) // max_tiles) if max_tiles else 0
    return max(by_tokens, by_tiles)


def _emptiest_first(plan: _Plan, items: Items, spare: int = 0) -> None:
    """Worst fit with pre-opened packs, by a heap of (tokens, pack)."""
    heap = [(0, plan.open()) for _ in range(packs_needed(items, plan.capacity, plan.max_tiles) + spare)]
    for sample, tokens, tiles in items:
        refused: list[tuple[int, int]] = []
        while heap and len(refused) < TRIES and not plan.fits(heap[0][1], tokens, tiles):
            if plan.tokens[heap[0][1]] + tokens > plan.capacity:
                break  # the emptiest has no room in tokens, so none has
            refused.append(heapq.heappop(heap))
        found = heap[0][1] if heap and plan.fits(heap[0][1], tokens, tiles) else None
        pack = plan.open() if found is None else heapq.heappop(heap)[1]
        plan.put(pack, sample, tokens, tiles)
        for entry in (*refused, (plan.tokens[pack], pack)):
            heapq.heappush(heap, entry)


def _best_fit(plan: _Plan, items: Items) -> None:
    """Best fit by stacks of packs with equal room; `rooms` has bit r set when a pack has r tokens of room."""
    stacks: dict[int, list[int]] = {}
    rooms = 0
    for sample, tokens, tiles in items:
        room, place = _fullest_with_room(plan, stacks, rooms, tokens, tiles)
        if room < 0:
            pack = plan.open()
        else:
            pack = stacks[room].pop(place)
            if not stacks[room]:
                rooms &= ~(1 << room)
        plan.put(pack, sample, tokens, tiles)
        left = plan.capacity - plan.tokens[pack]
        stacks.setdefault(left, []).append(pack)
        rooms |= 1 << left


def _fullest_with_room(
    plan: _Plan, stacks: dict[int, list[int]], rooms: int, tokens: int, tiles: int
) -> tuple[int, int]:
    """(room, place in its stack) of the fullest pack that takes the sample, the newest of equals; (-1, -1): none."""
    tries, above = 0, rooms >> tokens << tokens
    while above and tries < TRIES:
        room = (above & -above).bit_length() - 1
        for place in range(len(stacks[room]) - 1, -1, -1):
            if plan.fits(stacks[room][place], tokens, tiles):
                return room, place
            if (tries := tries + 1) == TRIES:
                break
        above &= above - 1
    return -1, -1


def _first_fit(plan: _Plan, items: Items) -> None:
    """First fit by a tree over the packs whose nodes hold the most room below them."""
    size = 1 << max(len(items) - 1, 0).bit_length()
    room = [plan.capacity] * (2 * size)  # node n has children 2n and 2n + 1; leaf size + p is pack p
    for sample, tokens, tiles in items:
        pack = _first_with_room(plan, room, size, tokens, tiles)
        while pack >= len(plan.packs):
            plan.open()
        plan.put(pack, sample, tokens, tiles)
        node = size + pack
        room[node] -= tokens
        while node > 1:
            node //= 2
            room[node] = max(room[2 * node], room[2 * node + 1])


def _first_with_room(plan: _Plan, room: list[int], size: int, tokens: int, tiles: int) -> int:
    """The oldest pack that has room, or the number of the next new one."""
    stack, tries = [1], 0
    while stack:
        node = stack.pop()
        if room[node] < tokens:
            continue
        if node < size:
            stack += [2 * node + 1, 2 * node]
            continue
        pack, tries = node - size, tries + 1
        if pack >= len(plan.packs) or plan.fits(pack, tokens, tiles):
            return pack
        if tries == TRIES:
            break
    return len(plan.packs)


def _reference(plan: _Plan, items: Items) -> None:
    _emptiest_first(plan, items, spare=REFERENCE_SPARE_PACKS)


STRATEGIES: dict[str, Callable[[_Plan, Items], None]] = {
    "balanced": _emptiest_first,
    "best_fit": _best_fit,
    "first_fit": _first_fit,
    "reference": _reference,
}
