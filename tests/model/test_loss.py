import numpy as np
import pytest
import torch
from torch import nn

from model.inputs.batch import IGNORE_INDEX
from model.loss import answer_positions, sample_denominators, token_losses, token_weights

LABELS = np.array([-100, -100, 5, 6, 7, 8, -100, 9, -100, -100])
BORDERS = np.array([0, 6, 8, 10], dtype=np.int32)  # 4 answers, 1 answer, none


@pytest.mark.parametrize(
    ("reduction", "weights", "denominator"),
    [("sqrt", (0.5, 1.0), 2 + 1), ("token", (1.0, 1.0), 5), ("sample", (0.25, 1.0), 2)],
)
def test_weights_and_denominator(reduction, weights, denominator):
    given, share = token_weights(LABELS.copy(), BORDERS, reduction)
    assert given.tolist() == [0, 0, *[weights[0]] * 4, 0, weights[1], 0, 0]
    assert share == pytest.approx(denominator)


def test_equal_losses_give_that_loss_under_every_rule():
    for reduction in ("sqrt", "token", "sample"):
        weights, share = token_weights(LABELS.copy(), BORDERS, reduction)
        assert weights.sum() / share == pytest.approx(1.0)


def test_the_first_token_of_a_sample_never_counts():
    labels = np.array([3, 4, 5, 6])
    weights, share = token_weights(labels, np.array([0, 2, 4]), "token")
    assert weights.tolist() == [0, 1, 0, 1]
    assert share == 2


def test_a_pack_without_answers_weighs_nothing():
    weights, share = token_weights(np.full(4, IGNORE_INDEX), np.array([0, 4]), "sqrt")
    assert not weights.any()
    assert share == 0


def test_weighted_loss_against_float64():
    torch.manual_seed(0)
    hidden, head = torch.randn(6, 8), nn.Linear(8, 11)
    labels, weights = torch.tensor([1, 2, 3, -100, 4, 5]), torch.tensor([0.0, 0.5, 0.0, 0.0, 1.0, 2.0])
    logs = torch.log_softmax((hidden.double() @ head.weight.double().T + head.bias.double()), dim=-1)
    expected = -(0.5 * logs[0, 2] + logs[3, 4] + 2 * logs[4, 5])
    losses = token_losses(hidden, head, labels, weights, torch.tensor([1, 4, 5]))
    assert losses.sum().item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("sqrt", (10 / 2 + 6 / 1) / (2 + 1)),  # the reference: sum_i (sum_t l_it / sqrt(n_i)) / sum_i sqrt(n_i)
        ("token", (1 + 2 + 3 + 4 + 6) / 5),
        ("sample", (10 / 4 + 6 / 1) / 2),
    ],
)
def test_each_rule_on_numbers_worked_out_by_hand(reduction, expected):
    """Sample 1 has two answers with losses 1, 2 and 3, 4; sample 2 one with loss 6; sample 3 none."""
    labels = np.array([-100, 0, 0, -100, 0, 0, -100, 0, -100, -100])
    losses = {1: 1.0, 2: 2.0, 4: 3.0, 5: 4.0, 7: 6.0}
    logits = torch.zeros(10, 2, dtype=torch.float64)  # of two tokens, the label 0 with probability exp(-loss)
    for place, loss in losses.items():
        logits[place - 1] = torch.tensor([np.exp(-loss), 1 - np.exp(-loss)]).log()
    borders = np.array([0, 6, 8, 10])
    weights, denominator = token_weights(labels, borders, reduction)
    answers = torch.from_numpy(answer_positions(labels, borders))
    assert answers.tolist() == [1, 2, 4, 5, 7]
    total = token_losses(logits, nn.Identity(), torch.from_numpy(labels), torch.from_numpy(weights), answers).sum()
    assert total.item() / denominator == pytest.approx(expected, rel=1e-6)
    assert sample_denominators(weights, borders).sum() == pytest.approx(denominator)


def test_a_samples_share_of_the_denominator_is_the_sum_of_its_weights():
    for reduction, expected in (("sqrt", [2, 1, 0]), ("token", [4, 1, 0]), ("sample", [1, 1, 0])):
        weights, _ = token_weights(LABELS.copy(), BORDERS, reduction)
        assert sample_denominators(weights, BORDERS) == pytest.approx(expected)
