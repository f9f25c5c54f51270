"""The strategies that place one sample after the other and never look back."""

import heapq
from dataclasses import dataclass, field

import numpy as np

from model.inputs.packing_items import Items, Limits, packs_needed

REFERENCE_SPARE_PACKS = 20  # the published sampler opens that many packs more than the tokens need
TRIES = 32  # packs that `reference` looks at when the tile limit refuses the emptiest
VISITS = 512  # nodes that `first_fit` looks at for one sample


@dataclass
class _Open:
    """Packs under construction: what each holds, and the pack of each item placed so far."""

    limits: Limits
    packs: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    tiles: list[int] = field(default_factory=list)

    def open(self) -> int:
        """A new empty pack's number."""
        self.tokens.append(0)
        self.tiles.append(0)
        return len(self.tokens) - 1

    def fits(self, pack: int, tokens: int, tiles: int) -> bool:
        """Whether a sample still fits into a pack."""
        return self.tokens[pack] + tokens <= self.limits.tokens and (
            self.limits.tiles is None or self.tiles[pack] + tiles <= self.limits.tiles
        )

    def put(self, pack: int, tokens: int, tiles: int) -> None:
        """Add the next sample to a pack."""
        self.packs.append(pack)
        self.tokens[pack] += tokens
        self.tiles[pack] += tiles


def _pairs(items: Items) -> zip:  # type: ignore[type-arg]
    return zip(items.tokens.tolist(), items.tiles.tolist(), strict=True)


def reference(items: Items, limits: Limits) -> np.ndarray:
    """Worst fit with ceil(sum / L) + 20 pre-opened packs, by a heap of (tokens, pack); the pack of each item."""
    plan = _Open(limits)
    heap = [(0, plan.open()) for _ in range(packs_needed(items, limits) + REFERENCE_SPARE_PACKS)]
    for tokens, tiles in _pairs(items):
        refused: list[tuple[int, int]] = []
        while heap and len(refused) < TRIES and not plan.fits(heap[0][1], tokens, tiles):
            if plan.tokens[heap[0][1]] + tokens > limits.tokens:
                break  # the emptiest has no room in tokens, so none has
            refused.append(heapq.heappop(heap))
        found = heap[0][1] if heap and plan.fits(heap[0][1], tokens, tiles) else None
        pack = plan.open() if found is None else heapq.heappop(heap)[1]
        plan.put(pack, tokens, tiles)
        for entry in (*refused, (plan.tokens[pack], pack)):
            heapq.heappush(heap, entry)
    return np.array(plan.packs, dtype=np.int64)


def best_fit(items: Items, limits: Limits) -> np.ndarray:
    """The fullest pack that has room, of equally full ones that with the least room for tiles; the pack of each item.

    Packs with equal room are in one stack, the newest on top. Bit r of `rooms[t]` is set when a pack has r tokens and
    t tiles of room.
    """
    plan = _Open(limits)
    stacks: dict[tuple[int, int], list[int]] = {}
    rooms: dict[int, int] = {}
    for tokens, tiles in _pairs(items):
        found = _fullest_with_room(rooms, tokens, tiles)
        if found is None:
            pack = plan.open()
        else:
            pack = stacks[found].pop()
            if not stacks[found]:
                rooms[found[1]] &= ~(1 << found[0])
        plan.put(pack, tokens, tiles)
        room, tile_room = limits.tokens - plan.tokens[pack], (limits.tiles or 0) - plan.tiles[pack]
        stacks.setdefault((room, tile_room), []).append(pack)
        rooms[tile_room] = rooms.get(tile_room, 0) | 1 << room
    return np.array(plan.packs, dtype=np.int64)


def _fullest_with_room(rooms: dict[int, int], tokens: int, tiles: int) -> tuple[int, int] | None:
    """(tokens, tiles) of the least room that takes the sample."""
    found = None
    for tile_room, bits in rooms.items():
        above = bits >> tokens if tile_room >= tiles else 0
        if above:
            room = (tokens + (above & -above).bit_length() - 1, tile_room)
            found = room if found is None else min(found, room)
    return found


def first_fit(items: Items, limits: Limits) -> np.ndarray:
    """The oldest pack that has room, by a tree whose nodes hold the most room below them; the pack of each item."""
    plan = _Open(limits)
    size = 1 << max(len(items) - 1, 0).bit_length()
    room = [limits.tokens] * (2 * size)  # node n has children 2n and 2n + 1; leaf size + p is pack p
    tile_room = [limits.tiles or 0] * (2 * size)
    for tokens, tiles in _pairs(items):
        pack = _first_with_room(room, tile_room, size, tokens, tiles, len(plan.tokens))
        if pack == len(plan.tokens):
            plan.open()
        plan.put(pack, tokens, tiles)
        node = size + pack
        room[node] -= tokens
        tile_room[node] -= tiles
        while node > 1:
            node //= 2
            room[node] = max(room[2 * node], room[2 * node + 1])
            tile_room[node] = max(tile_room[2 * node], tile_room[2 * node + 1])
    return np.array(plan.packs, dtype=np.int64)


def _first_with_room(room: list[int], tile_room: list[int], size: int, tokens: int, tiles: int, opened: int) -> int:
    """The oldest pack that has room, or the number of the next new one.

    A node's most tokens and most tiles may be in different packs: with a tile limit the search gives up after
    `VISITS` nodes.
    """
    stack, visits = [1], 0
    while stack and visits < VISITS:
        node, visits = stack.pop(), visits + 1
        if room[node] < tokens or tile_room[node] < tiles:
            continue
        if node >= size:
            return min(node - size, opened)
        stack += [2 * node + 1, 2 * node]
    return opened
