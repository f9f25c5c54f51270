"""The metrics of a plan, by hand on small ones."""

import pytest

from model.inputs.packing_report import histogram, packing_metrics, per_category


def test_five_metrics():
    metrics = packing_metrics([[0, 1], [2]], lengths=[30, 10, 80], tiles=[1, 0, 3], capacity=100)
    assert metrics == {
        "packs": 2,
        "fill": pytest.approx(0.6),
        "token_cv": pytest.approx(20 / 60),
        "attention_imbalance": pytest.approx(6400 / ((1000 + 6400) / 2)),
        "tile_imbalance": pytest.approx(1.5),
    }


def test_no_packs_and_no_tiles_are_zero_not_an_error():
    assert set(packing_metrics([], [], [], 100).values()) == {0}
    assert packing_metrics([[0]], [10], [0], 100)["tile_imbalance"] == 0


def test_histogram_counts_everything_in_range():
    counted = histogram([0, 1, 5, 10], 0, 10, bins=2)
    assert counted == {"edges": [0, 5, 10], "counts": [2, 2]}


def test_categories_are_summed():
    assert per_category(["b", "a", "b"], [1, 2, 3], [0, 1, 2]) == {
        "a": {"uses": 1, "tokens": 2, "tiles": 1},
        "b": {"uses": 2, "tokens": 4, "tiles": 2},
    }
