"""Packing strategies beside the peers' on the same samples: fill, imbalance and samples a second.

    python tests/benchmarks/bench_packing.py --json

Lengths: an .npz of int [N, 2] arrays, columns (tiles, tokens), tokens of a whole sample with its images' tokens; rows
are drawn with replacement. The default, real ones of two data sets, lies beside the project (shared/data). Every plan's
packs are shuffled by the same seed, then measured by `packing_metrics`: imbalances are those of steps of 64 packs.
Peers, written plainly with heaps and sorted lists: `emptiest_first` with ceil(sum / L) packs open from the start,
`longest_first` (LPT) into the least number of packs that holds all, found by bisection, and `best_fit`.
Speed is processor time of one thread; `ratio` is ours over the fastest peer's. On the `front`: no peer is at least as
good in both fill and attention imbalance and better in one.
"""

import argparse
import heapq
import json
import sys
import time
from bisect import bisect_left, insort
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from model.inputs.packing import STRATEGIES, plan_packs
from model.inputs.packing_plan import PackPlan
from model.inputs.packing_report import packing_metrics

LENGTHS = Path(__file__).resolve().parents[3] / "shared/data/packing_lengths.npz"
Peer = Callable[[list[int], int], list[int]]


def emptiest_first(lengths: list[int], capacity: int) -> list[int]:
    """Worst fit: the pack of each of the samples, longest first."""
    heap = [(0, pack) for pack in range(-(-sum(lengths) // capacity))]
    packs, count = [], len(heap)
    for length in lengths:
        load, pack = heap[0]
        if load + length > capacity:
            load, pack, count = 0, count, count + 1
            heapq.heappush(heap, (length, pack))
        else:
            heapq.heapreplace(heap, (load + length, pack))
        packs.append(pack)
    return packs


def longest_first(lengths: list[int], capacity: int) -> list[int]:
    """LPT into the least number of packs for which nothing overflows."""
    low, high, best = -(-sum(lengths) // capacity) - 1, len(lengths), list(range(len(lengths)))
    while high - low > 1:
        middle = min(low + max(low // 64, 1), (low + high) // 2) if high == len(lengths) else (low + high) // 2
        tried = _dealt(lengths, capacity, middle)
        if tried is None:
            low = middle
        else:
            high, best = middle, tried
    return best


def _dealt(lengths: list[int], capacity: int, count: int) -> list[int] | None:
    heap, packs = [(0, pack) for pack in range(count)], []
    for length in lengths:
        load, pack = heap[0]
        if load + length > capacity:
            return None
        heapq.heapreplace(heap, (load + length, pack))
        packs.append(pack)
    return packs


def best_fit(lengths: list[int], capacity: int) -> list[int]:
    """Best fit by a sorted list of (room, pack)."""
    rooms: list[tuple[int, int]] = []
    packs, count = [], 0
    for length in lengths:
        place = bisect_left(rooms, (length, 0))
        room, pack = rooms.pop(place) if place < len(rooms) else (capacity, count)
        count = max(count, pack + 1)
        insort(rooms, (room - length, pack))
        packs.append(pack)
    return packs


PEERS: dict[str, Peer] = {"emptiest_first": emptiest_first, "longest_first": longest_first, "best_fit": best_fit}


def drawn(path: Path, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(tokens, tiles) of samples drawn with replacement; int64 [count] each."""
    with np.load(path) as arrays:
        rows = np.concatenate([arrays[name] for name in sorted(arrays)]).astype(np.int64)
    chosen = rows[np.random.default_rng(seed).integers(0, len(rows), count)]
    return chosen[:, 1], chosen[:, 0]


def peer_plan(peer: Peer, tokens: np.ndarray, capacity: int) -> PackPlan:
    order = np.argsort(-tokens, kind="stable")
    return PackPlan.of(np.array(peer(tokens[order].tolist(), capacity)), order)


def measured(make: Callable[[], PackPlan], tokens: np.ndarray, tiles: np.ndarray, capacity: int) -> dict[str, float]:
    """The plan's metrics in shuffled order, and its speed."""
    start = time.process_time()
    plan = make()
    seconds = time.process_time() - start
    assert plan.sums(tokens).max() <= capacity
    assert np.array_equal(np.sort(plan.members), np.arange(len(tokens)))
    shuffled = plan.reordered(np.random.default_rng(0).permutation(len(plan)))
    metrics = packing_metrics(shuffled, tokens, tiles, capacity)
    return {"samples_per_second": round(len(tokens) / seconds), **{n: round(v, 4) for n, v in metrics.items()}}


def dominates(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether `one` is nowhere worse than `other` and somewhere better."""
    pairs = [(one["fill"], other["fill"]), (-one["attention_imbalance"], -other["attention_imbalance"])]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def compare(tokens: np.ndarray, tiles: np.ndarray, capacity: int, strategies: list[str]) -> dict[str, Any]:
    """Every strategy and every peer at one capacity."""
    ours = {
        name: measured(lambda name=name: plan_packs(tokens, capacity, strategy=name), tokens, tiles, capacity)
        for name in strategies
    }
    peers = {
        name: measured(lambda peer=peer: peer_plan(peer, tokens, capacity), tokens, tiles, capacity)
        for name, peer in PEERS.items()
    }
    fastest = max(peer["samples_per_second"] for peer in peers.values())
    return {
        "capacity": capacity,
        "strategies": ours,
        "peers": peers,
        "balanced_on_the_front": not any(dominates(peer, ours["balanced"]) for peer in peers.values()),
        "ratio": round(ours["balanced"]["samples_per_second"] / fastest, 2),
    }


def main() -> None:
    """Print one line a strategy and capacity, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=Path, default=LENGTHS)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--capacities", type=int, nargs="+", default=[16384, 4096, 8192, 32768])
    parser.add_argument("--strategies", nargs="+", choices=sorted(STRATEGIES), default=["balanced"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    tokens, tiles = drawn(given.lengths, given.samples, given.seed)
    strategies = ["balanced", *(name for name in given.strategies if name != "balanced")]
    results = [compare(tokens, tiles, capacity, strategies) for capacity in given.capacities]
    if given.json:
        print(json.dumps({"samples": given.samples, "results": results}))
        return
    for result in results:
        print(f"capacity {result['capacity']}, ratio {result['ratio']}, on the front {result['balanced_on_the_front']}")
        for name, found in [*result["strategies"].items(), *((f"peer {n}", f) for n, f in result["peers"].items())]:
            print(f"  {name:20}", *(f"{key} {value:g}" for key, value in found.items()))


if __name__ == "__main__":
    main()
