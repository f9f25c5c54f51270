"""The metrics of a plan, by hand on small ones."""

import numpy as np
import pyarrow as pa
import pytest

from model.inputs.packing_plan import PackPlan
from model.inputs.packing_report import histogram, imbalance, packing_metrics, per_category


def plan(*packs: list[int]) -> PackPlan:
    labels = np.repeat(np.arange(len(packs)), [len(pack) for pack in packs])
    return PackPlan.of(labels, np.array([sample for pack in packs for sample in pack], dtype=int))


def test_five_metrics():
    metrics = packing_metrics(plan([0, 1], [2]), lengths=[30, 10, 80], tiles=[1, 0, 3], capacity=100)
    assert metrics == {
        "packs": 2,
        "fill": pytest.approx(0.6),
        "samples_per_pack": pytest.approx(1.5),
        "samples_per_pack_std": pytest.approx(0.5),
        "length_spread": pytest.approx((10 + 0) / 2),
        "attention_imbalance": pytest.approx(6400 / ((1000 + 6400) / 2)),
        "tile_imbalance": pytest.approx(1.5),
    }


def test_no_packs_and_no_tiles_are_zero_not_an_error():
    empty = PackPlan(np.zeros(0, np.int64), np.zeros(1, np.int64))
    assert set(packing_metrics(empty, [], [], 100).values()) == {0}
    assert packing_metrics(plan([0]), [10], [0], 100)["tile_imbalance"] == 0


def test_imbalance_is_the_mean_over_whole_steps():
    work = np.array([1.0, 3, 2, 2, 0, 0, 100])
    assert imbalance(work, ranks=2) == pytest.approx((1.5 + 1) / 2)  # the empty step and the incomplete one don't count
    assert imbalance(work[:2], ranks=64) == pytest.approx(1.5)  # unless it is the only one


def test_packs_are_reordered_and_joined_with_their_samples():
    first = plan([0, 2], [1], [3])
    assert [pack.tolist() for pack in first.reordered(np.array([2, 0, 1]))] == [[3], [0, 2], [1]]
    both = PackPlan.joined([first, plan([1], [0])])
    assert [pack.tolist() for pack in both] == [[0, 2], [1], [3], [5], [4]]
    assert both.sums(np.arange(6)).tolist() == [2, 1, 3, 5, 4]


def test_histogram_counts_everything_in_range():
    counted = histogram([0, 1, 5, 10], 0, 10, bins=2)
    assert counted == {"edges": [0, 5, 10], "counts": [2, 2]}


def test_categories_are_summed():
    uses = pa.table({"category": ["b", "a", "b"], "tokens": [1, 2, 3], "tiles": [0, 1, 2]})
    assert per_category(uses) == {
        "a": {"uses": 1, "tokens": 2, "tiles": 1},
        "b": {"uses": 2, "tokens": 4, "tiles": 2},
    }
