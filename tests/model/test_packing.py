"""Packing plans: nothing lost, nothing split, never too full, and each strategy keeps its rule."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import AerieError
from model.inputs.packing import STRATEGIES, plan_packs
from model.inputs.packing_balanced import PART, deal
from model.inputs.packing_report import packing_metrics

# The first draw of a process reads the project's constants, which takes a second on a busy machine.
PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
STRATEGY = st.sampled_from(sorted(STRATEGIES))
LENGTHS = st.lists(st.integers(1, 100), min_size=1, max_size=80)
SAMPLES = st.lists(st.tuples(st.integers(1, 100), st.integers(0, 5)), max_size=80)


def listed(plan) -> list[list[int]]:
    return [pack.tolist() for pack in plan]


def random_lengths(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(4.5, 0.8, count).astype(int).clip(20, 1000)


def emptiest_first(lengths, capacity: int, count: int) -> list[list[int]]:
    """Worst fit decreasing, written plainly."""
    packs: list[list[int]] = [[] for _ in range(count)]
    for sample in sorted(range(len(lengths)), key=lambda s: -lengths[s]):
        loads = [sum(lengths[s] for s in pack) for pack in packs]
        emptiest = loads.index(min(loads))
        if loads[emptiest] + lengths[sample] > capacity:
            packs.append([])
            emptiest = len(packs) - 1
        packs[emptiest].append(sample)
    return [pack for pack in packs if pack]


@PROPERTY
@given(SAMPLES, STRATEGY, st.sampled_from([None, 5, 12]))
def test_every_sample_is_in_exactly_one_pack_and_no_limit_is_exceeded(samples, strategy, max_tiles):
    lengths, tiles = [length for length, _ in samples], [count for _, count in samples]
    packs = listed(plan_packs(lengths, 100, strategy=strategy, tiles=tiles, max_tiles=max_tiles))
    assert sorted(sample for pack in packs for sample in pack) == list(range(len(lengths)))
    for pack in packs:
        assert 0 < sum(lengths[sample] for sample in pack) <= 100
        assert max_tiles is None or sum(tiles[sample] for sample in pack) <= max_tiles
    assert packs == listed(plan_packs(lengths, 100, strategy=strategy, tiles=tiles, max_tiles=max_tiles))


@PROPERTY
@given(SAMPLES, STRATEGY, st.sampled_from([None, 5]), st.randoms(use_true_random=False))
def test_the_given_order_only_decides_between_equal_samples(samples, strategy, max_tiles, random):
    mixed = list(samples)
    random.shuffle(mixed)

    def contents(given):
        lengths, tiles = [length for length, _ in given], [count for _, count in given]
        plan = plan_packs(lengths, 100, strategy=strategy, tiles=tiles, max_tiles=max_tiles)
        return [[given[sample] for sample in pack] for pack in plan]

    if max_tiles is None:  # tiles then mean nothing
        samples, mixed = [(length, 0) for length, _ in samples], [(length, 0) for length, _ in mixed]
    assert contents(samples) == contents(mixed)


@PROPERTY
@given(LENGTHS)
def test_balanced_never_takes_more_packs_than_best_fit(lengths):
    assert len(plan_packs(lengths, 100)) <= len(plan_packs(lengths, 100, strategy="best_fit"))


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize(
    ("lengths", "tiles", "packs"),
    [
        ([], [], 0),
        ([7], [3], 1),
        ([100] * 5, [0] * 5, 5),
        ([25] * 40, [0] * 40, 10),
        ([10] * 12, [4] * 12, 12),  # only one sample's tiles go into a pack
        ([1] * 12, [2] * 6 + [1] * 6, 4),  # 18 tiles, of which a pack holds 5
        ([60] * 4 + [40] * 4, [0] * 8, 4),
    ],
)
def test_simple_cases_take_as_few_packs_as_can_be(strategy, lengths, tiles, packs):
    plan = plan_packs(lengths, 100, strategy=strategy, tiles=tiles, max_tiles=5)
    spare = 20 if strategy == "reference" else 0  # it opens that many more and leaves them emptier
    assert packs <= len(plan) <= min(packs + spare, len(lengths))
    assert sorted(plan.members.tolist()) == list(range(len(lengths)))


def test_balanced_meets_long_with_short_and_best_fit_long_with_long():
    lengths = [50, 50, 50, 50, *[25] * 8]

    def contents(strategy):
        return sorted(sorted(lengths[s] for s in pack) for pack in plan_packs(lengths, 100, strategy=strategy))

    assert contents("balanced") == [[25, 25, 50]] * 4
    assert contents("best_fit") == [*[[25, 25, 25, 25]] * 2, *[[50, 50]] * 2]


def test_best_fit_takes_the_fullest_and_first_fit_the_oldest():
    lengths = [60, 55, 50, 40]  # packs with room 40, then 45, then 50
    assert listed(plan_packs(lengths, 100, strategy="best_fit")) == [[0, 3], [1], [2]]
    lengths = [55, 60, 30, 40]
    assert listed(plan_packs(lengths, 100, strategy="first_fit")) == [[1, 3], [0, 2]]


@PROPERTY
@given(SAMPLES, st.sampled_from([100, 5]))
def test_first_fit_equals_the_plain_loop(samples, max_tiles):
    lengths, tiles = [length for length, _ in samples], [count for _, count in samples]
    packs: list[list[int]] = []
    for sample in sorted(range(len(samples)), key=lambda s: (-lengths[s], -tiles[s])):
        for pack in packs:
            fits = sum(tiles[s] for s in pack) + tiles[sample] <= max_tiles
            if fits and sum(lengths[s] for s in pack) + lengths[sample] <= 100:
                pack.append(sample)
                break
        else:
            packs.append([sample])
    assert listed(plan_packs(lengths, 100, strategy="first_fit", tiles=tiles, max_tiles=max_tiles)) == packs


@PROPERTY
@given(SAMPLES)
def test_best_fit_leaves_the_least_room_of_all_choices(samples):
    lengths, tiles = [length for length, _ in samples], [count for _, count in samples]
    room: list[tuple[int, int]] = []
    found = []
    for sample in sorted(range(len(samples)), key=lambda s: (-lengths[s], -tiles[s])):
        able = [
            (*room[p], -p) for p in range(len(room)) if room[p][0] >= lengths[sample] and room[p][1] >= tiles[sample]
        ]
        pack = next((p for p in range(len(room)) if able and room[p] == min(able)[:2]), None)
        if pack is None:
            room.append((100, 5))
            pack = len(room) - 1
        room[pack] = (room[pack][0] - lengths[sample], room[pack][1] - tiles[sample])
        found.append(room[pack])
    plan = plan_packs(lengths, 100, strategy="best_fit", tiles=tiles, max_tiles=5)
    rooms = [(100 - sum(lengths[s] for s in pack), 5 - sum(tiles[s] for s in pack)) for pack in plan]
    assert sorted(rooms) == sorted(room)  # which of equally full packs takes a sample changes no room


@PROPERTY
@given(LENGTHS)
def test_reference_equals_the_plain_loop(lengths):
    plain = emptiest_first(lengths, 100, -(-sum(lengths) // 100) + 20)
    assert listed(plan_packs(lengths, 100, strategy="reference")) == plain


@PROPERTY
@given(LENGTHS, st.integers(1, 12))
def test_dealing_in_rounds_gives_the_loads_of_dealing_one_by_one(lengths, count):
    lengths = sorted(lengths, reverse=True)
    packs = deal(np.array(lengths), count)
    plain = emptiest_first(lengths, 10**9, count)
    loads = np.bincount(packs, lengths, minlength=count)
    assert sorted(load for load in loads if load) == sorted(sum(lengths[s] for s in pack) for pack in plain)


@pytest.mark.parametrize("max_tiles", [None, 24])
def test_balanced_is_as_full_as_best_fit_and_more_even_than_the_reference(max_tiles):
    lengths = random_lengths(8000)
    tiles, found = lengths // 80, {}
    for strategy in STRATEGIES:
        plan = plan_packs(lengths, 2048, strategy=strategy, tiles=tiles, max_tiles=max_tiles)
        plan = plan.reordered(np.random.default_rng(0).permutation(len(plan)))
        found[strategy] = packing_metrics(plan, lengths, tiles, 2048)
    ours = found["balanced"]
    assert ours["fill"] >= found["best_fit"]["fill"]
    assert ours["fill"] > found["reference"]["fill"]
    assert ours["attention_imbalance"] < found["reference"]["attention_imbalance"]
    assert ours["attention_imbalance"] < 0.8 * found["best_fit"]["attention_imbalance"]


def test_many_samples_are_planned_from_a_part_of_them_as_well():
    lengths = random_lengths(3 * PART)
    plan = plan_packs(lengths, 2048)
    assert np.sort(plan.members).tolist() == list(range(len(lengths)))
    loads = plan.sums(lengths)
    assert loads.max() <= 2048
    assert loads.mean() > 0.99 * 2048


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
