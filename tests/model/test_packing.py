"""Packing plans: nothing lost, nothing split, never too full, and each strategy keeps its rule."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import AerieError
from model.inputs.packing import STRATEGIES, plan_packs

STRATEGY = st.sampled_from(sorted(STRATEGIES))


def random_lengths(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).lognormal(4.5, 0.8, count).astype(int).clip(20, 1000).tolist()


@given(st.lists(st.integers(1, 100), max_size=80), STRATEGY)
def test_every_sample_is_in_exactly_one_pack_and_no_pack_overflows(lengths, strategy):
    packs = plan_packs(lengths, 100, strategy=strategy)
    assert sorted(sample for pack in packs for sample in pack) == list(range(len(lengths)))
    assert all(0 < sum(lengths[sample] for sample in pack) <= 100 for pack in packs)
    assert packs == plan_packs(lengths, 100, strategy=strategy)


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(0, 5)), max_size=80), STRATEGY)
def test_the_tile_limit_holds_too(samples, strategy):
    lengths, tiles = [length for length, _ in samples], [count for _, count in samples]
    packs = plan_packs(lengths, 100, strategy=strategy, tiles=tiles, max_tiles=5)
    assert sorted(sample for pack in packs for sample in pack) == list(range(len(lengths)))
    for pack in packs:
        assert sum(lengths[sample] for sample in pack) <= 100
        assert sum(tiles[sample] for sample in pack) <= 5


def test_balanced_meets_long_with_short_and_best_fit_long_with_long():
    lengths = [50, 50, 50, 50, *[25] * 8]
    assert [[lengths[s] for s in pack] for pack in plan_packs(lengths, 100)] == [[50, 25, 25]] * 4
    assert [[lengths[s] for s in pack] for pack in plan_packs(lengths, 100, strategy="best_fit")] == [
        *[[50, 50]] * 2,
        *[[25, 25, 25, 25]] * 2,
    ]


def test_balanced_opens_a_pack_when_none_has_room():
    assert plan_packs([60, 60, 60, 20], 100) == [[0, 3], [1], [2]]  # two packs by tokens, a third by need


def test_best_fit_takes_the_fullest_and_first_fit_the_oldest():
    lengths = [60, 55, 50, 40]  # packs with room 40, then 45, then 50
    assert plan_packs(lengths, 100, strategy="best_fit") == [[0, 3], [1], [2]]
    lengths = [55, 60, 30, 40]
    assert plan_packs(lengths, 100, strategy="first_fit") == [[1, 3], [0, 2]]


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60))
def test_first_fit_equals_the_plain_loop(lengths):
    packs: list[list[int]] = []
    for sample in sorted(range(len(lengths)), key=lambda s: -lengths[s]):
        for pack in packs:
            if sum(lengths[s] for s in pack) + lengths[sample] <= 100:
                pack.append(sample)
                break
        else:
            packs.append([sample])
    assert plan_packs(lengths, 100, strategy="first_fit") == packs


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60), st.sampled_from([("balanced", 0), ("reference", 20)]))
def test_emptiest_first_equals_the_plain_loop(lengths, rule):
    strategy, spare = rule
    packs: list[list[int]] = [[] for _ in range(-(-sum(lengths) // 100) + spare)]
    for sample in sorted(range(len(lengths)), key=lambda s: -lengths[s]):
        loads = [sum(lengths[s] for s in pack) for pack in packs]
        emptiest = loads.index(min(loads))
        if loads[emptiest] + lengths[sample] > 100:
            packs.append([])
            emptiest = len(packs) - 1
        packs[emptiest].append(sample)
    assert plan_packs(lengths, 100, strategy=strategy) == [pack for pack in packs if pack]


def test_balanced_packs_weigh_nearly_the_same():
    lengths = random_lengths(3000)
    loads = sorted(sum(lengths[s] for s in pack) for pack in plan_packs(lengths, 2048))
    assert np.mean(loads) / 2048 > 0.95
    assert loads[1] / loads[-1] > 0.97  # all but the one that took what was left over


def test_a_large_plan_is_quick():
    lengths, tiles = random_lengths(50_000), [length // 60 for length in random_lengths(50_000)]
    for strategy in STRATEGIES:
        start = time.process_time()
        plan_packs(lengths, 4096, strategy=strategy, tiles=tiles, max_tiles=64)
        assert time.process_time() - start < 5, strategy


def test_no_samples_no_packs():
    assert plan_packs([], 100) == []


@pytest.mark.parametrize(
    ("lengths", "tiles", "message"),
    [
        ([10, 101], None, "sample 1 has 101 tokens"),
        ([0], None, "sample 0 has 0 tokens"),
        ([10], [9], "sample 0 has 9 tiles"),
        ([10], [1, 2], "1 lengths but 2 tile counts"),
    ],
)
def test_what_no_pack_can_hold_is_named(lengths, tiles, message):
    with pytest.raises(AerieError, match=message):
        plan_packs(lengths, 100, tiles=tiles, max_tiles=8)


def test_an_unknown_strategy_is_named():
    with pytest.raises(AerieError, match="unknown packing strategy 'tight'"):
        plan_packs([1], 10, strategy="tight")
