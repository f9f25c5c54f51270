import numpy as np
import pytest
import torch

from data.curation.encoder_parts import matched_by_order, normalised
from data.errors import AerieError


def test_normalised_rows_keep_their_direction_and_zeros_stay():
    rows = np.array([[3, 4], [0, 0], [-1e-3, 0], [0, 5e4]])
    assert np.allclose(normalised(rows), [[0.6, 0.8], [0, 0], [-1, 0], [0, 1]])
    assert normalised(rows).dtype == np.float32


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"w.weight": (2, 3)}, "holds 1 tensors, the network has 2"),
        ({"w.weight": (3, 2), "w.bias": (2,)}, r"w.weight \(3, 2\) does not fit conv.weight \(2, 3\)"),
        ({"w.weight": (2, 3), "w.running_mean": (2,)}, "w.running_mean"),
    ],
)
def test_weights_of_another_network_are_refused(weights, message):
    target = {"conv.weight": torch.zeros(2, 3), "conv.bias": torch.zeros(2)}
    with pytest.raises(AerieError, match=message):
        matched_by_order({name: torch.ones(shape) for name, shape in weights.items()}, target, "w.pth")


def test_fitting_weights_take_the_names_of_the_network():
    weights = {"a.weight": torch.rand(2, 3), "a.bias": torch.rand(2)}
    renamed = matched_by_order(weights, {"b.weight": torch.zeros(2, 3), "b.bias": torch.zeros(2)}, "w.pth")
    assert list(renamed) == ["b.weight", "b.bias"]
    assert renamed["b.weight"] is weights["a.weight"]
