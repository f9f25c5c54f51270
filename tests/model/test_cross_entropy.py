"""Cross entropy in blocks is cross entropy, and never holds all logits."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from model import cross_entropy
from model.cross_entropy import linear_cross_entropy


@pytest.mark.parametrize("tokens", [0, 1, 7, 8, 9, 16, 21])
def test_losses_and_gradients_are_those_of_all_logits(tokens, monkeypatch):
    monkeypatch.setattr(cross_entropy, "BLOCK", 8)
    torch.manual_seed(0)
    hidden, head, labels = torch.randn(tokens, 6), nn.Linear(6, 11, bias=False), torch.randint(0, 11, (tokens,))
    results = []
    for losses_of in (linear_cross_entropy, lambda h, head, y: F.cross_entropy(head(h), y, reduction="none")):
        given = hidden.clone().requires_grad_()
        head.zero_grad(set_to_none=True)
        losses = losses_of(given, head, labels)
        (losses * torch.arange(tokens)).sum().backward()
        results.append((losses, given.grad, head.weight.grad))
    for ours, expected in zip(*results, strict=True):
        assert torch.allclose(ours, expected, atol=1e-6)


def test_a_block_is_the_most_that_the_head_sees_at_once(monkeypatch):
    monkeypatch.setattr(cross_entropy, "BLOCK", 8)
    seen = []

    class Head(nn.Linear):
        def forward(self, hidden):
            seen.append(len(hidden))
            return super().forward(hidden)

    losses = linear_cross_entropy(
        torch.randn(21, 6, requires_grad=True), Head(6, 11), torch.zeros(21, dtype=torch.long)
    )
    losses.sum().backward()
    assert seen[:3] == [8, 8, 5]
    assert sorted(seen[3:]) == [5, 8, 8], "each block again in the backward pass"
