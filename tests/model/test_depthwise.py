"""The depthwise convolution as an operator: torch's results, gradients where asked for, well behaved in graphs."""

import pytest
import torch
from torch.nn import functional as F

from model.vision.depthwise import depthwise_conv


def drawn(size, dtype=torch.float64):
    """x, weight, bias and the gradient of the result."""
    generator = torch.Generator().manual_seed(size)
    shapes = ((2, 6, 5, 12), (12, 1, size, size), (12,), (2, 6, 5, 12))
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


@pytest.mark.parametrize("size", [3, 7])
def test_results_and_gradients_are_those_of_torchs_convolution(size):
    x, weight, bias, slope = drawn(size)
    ours, torchs = ([tensor.clone().requires_grad_() for tensor in (x, weight, bias)] for _ in range(2))
    y = depthwise_conv(*ours)
    planes = F.conv2d(torchs[0].permute(0, 3, 1, 2), torchs[1], torchs[2], padding=size // 2, groups=12)
    wanted = planes.permute(0, 2, 3, 1)
    assert y.is_contiguous()
    assert (y - wanted).abs().max() < 1e-12
    y.backward(slope)
    wanted.backward(slope)
    for mine, other in zip(ours, torchs, strict=True):
        assert mine.grad.shape == mine.shape
        assert (mine.grad - other.grad).abs().max() < 1e-12


def test_views_and_frozen_weights():
    """An input in another memory order, as cuDNN's stem leaves it; a tower that doesn't train passes gradients on."""
    x, weight, bias, slope = drawn(7)
    plain = x.clone().requires_grad_()
    turned = x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1).requires_grad_()
    for tensor in (plain, turned):
        depthwise_conv(tensor, weight, bias).backward(slope)
    assert torch.equal(plain.grad, turned.grad)
    assert weight.grad is None
    learned = weight.clone().requires_grad_()
    depthwise_conv(x, learned, bias).backward(slope)
    assert learned.grad.any()


def test_the_operator_keeps_torchs_rules():
    """Schema, shapes without data, autograd and dynamic graphs, by torch's own checks."""
    x, weight, bias, _ = (tensor.requires_grad_() for tensor in drawn(7, torch.float32))
    torch.library.opcheck(depthwise_conv, (x, weight, bias))
