"""Depthwise convolution on channels-last tensors as one operator, which torch.compile leaves whole.

cuDNN's result takes 1.7 times and its input gradient 2.8 times as long in bfloat16 on an H100 (bench_convnext.py), and
inductor has no lowering of its own for two dimensions; on a GPU our Triton kernels do it, anywhere else torch.
"""

from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch.nn import functional as F


@cache
def _kernels() -> ModuleType | None:
    """The kernels' module, where Triton is installed."""
    try:
        from model.vision import depthwise_kernels
    except ImportError:
        return None
    return depthwise_kernels


@torch.library.custom_op("aerie::depthwise_conv", mutates_args=())
def depthwise_conv(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """x [N, H, W, C], weight [C, 1, k, k] with k odd, bias [C] to [N, H, W, C]: stride 1, zeros around, as large as x.

    One type for all three; sums are in float32. The result is contiguous.
    """
    if x.is_cuda and (kernels := _kernels()) is not None:
        return kernels.correlate(x, weight, bias)
    planes = F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))
    return planes.permute(0, 2, 3, 1).contiguous()


@torch.library.custom_op("aerie::depthwise_input_gradient", mutates_args=())
def _input_gradient(dy: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The gradient of x from that of the result, both [N, H, W, C]."""
    if dy.is_cuda and (kernels := _kernels()) is not None:
        return kernels.correlate(dy, weight, None, flip=True)
    planes = F.conv2d(dy.permute(0, 3, 1, 2), weight.flip(2, 3), padding=weight.shape[-1] // 2, groups=len(weight))
    return planes.permute(0, 2, 3, 1).contiguous()


@torch.library.custom_op("aerie::depthwise_weight_gradient", mutates_args=())
def _weight_gradient(x: torch.Tensor, dy: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of weight and bias."""
    if x.is_cuda and (kernels := _kernels()) is not None:
        taps, bias = kernels.weight_gradient(x, dy, weight.shape[-1])
        return taps.to(weight.dtype).contiguous(), bias.to(weight.dtype)
    pad, channels = weight.shape[-1] // 2, len(weight)
    _, taps, bias = torch.ops.aten.convolution_backward(
        dy.permute(0, 3, 1, 2), x.permute(0, 3, 1, 2), weight, [channels], [1, 1], [pad, pad], [1, 1], False, [0, 0],
        channels, [False, True, True],
    )  # fmt: skip
    return taps.contiguous(), bias


@depthwise_conv.register_fake
def _(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@_input_gradient.register_fake
def _(dy: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(dy, memory_format=torch.contiguous_format)


@_weight_gradient.register_fake
def _(x: torch.Tensor, dy: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.empty_like(weight, memory_format=torch.contiguous_format), weight.new_empty(len(weight))


def _save(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
    x, weight, _ = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    dx = _input_gradient(dy, weight) if ctx.needs_input_grad[0] else None
    if not (ctx.needs_input_grad[1] or ctx.needs_input_grad[2]):
        return dx, None, None
    return dx, *_weight_gradient(x, dy, weight)


depthwise_conv.register_autograd(_backward, setup_context=_save)
