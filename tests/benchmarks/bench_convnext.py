"""The ConvNeXt tower on one GPU: is the depthwise convolution right, and how fast are it, a block and the tower?

    python tests/benchmarks/bench_convnext.py [--json] [--tiles 48] [--tower-tiles 16]
        [--part checks shapes layers patches blocks profiles tower]

Geometry is that of ConvNeXt-XXLarge at 512 x 512. Baselines in the same run: cuDNN (channels last and contiguous) and
timm's own blocks, eager and compiled. A floor is the larger of the bytes that must move at 3.35 TB/s (H100; an H200
has 4.8) and the multiplications at 128 a cycle and core. Needs torch, triton and timm only. A part that fails prints
its error and the rest goes on; exit status 1: something failed.
"""
# ruff: noqa: E402 (the path is set first)

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]

import timm
import torch
from convnext_tower import DIMS, SIDES, blocks, patches, profiles, tower
from kernel_rows import failures, guarded, milliseconds, rows, show
from torch.nn import functional as F

from model.vision.depthwise import depthwise_conv
from model.vision.depthwise_kernels import Shape, correlate, weight_gradient

DEVICE, SIZE = "cuda", 7
HBM, MULTIPLIERS = 3.35e12, 128
PARTS = ("checks", "shapes", "layers", "patches", "blocks", "profiles", "tower")
CORRELATE_SHAPES = [
    Shape(8, 64, ahead=1), Shape(8, 64, ahead=1, unroll=2), Shape(8, 64, ahead=2), Shape(8, 64, ahead=2, unroll=2),
    Shape(8, 64, ahead=3), Shape(8, 64, unroll=2), Shape(4, 64, ahead=2, registers=168), Shape(16, 64),
]  # fmt: skip
SUM_SHAPES = [
    Shape(4, 64, ahead=1), Shape(4, 64, unroll=2), Shape(4, 64, ahead=1, unroll=2), Shape(4, 64, unroll=4),
    Shape(4, 64, ahead=1, unroll=4), Shape(8, 64, warps=8, unroll=4), Shape(8, 64, warps=8, ahead=1, unroll=2),
    Shape(4, 64, unroll=2, registers=168),
]  # fmt: skip


def drawn(images: int, side: int, channels: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """x, gradient of the result, weight, bias."""
    shapes = ((images, side, side, channels), (images, side, side, channels), (channels, 1, SIZE, SIZE), (channels,))
    generator = torch.Generator(DEVICE).manual_seed(0)
    return [torch.randn(shape, generator=generator, device=DEVICE, dtype=torch.float32).to(dtype) for shape in shapes]


def error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """Relative error in norm."""
    return float((got.double() - wanted).norm() / wanted.norm())


def check(images: int, side: int, channels: int, dtype: torch.dtype) -> None:
    """The operator and its three gradients against float64, twice for the bits."""
    x, dy, weight, bias = drawn(images, side, channels, dtype)
    exact = [tensor.double().requires_grad_() for tensor in (x, weight, bias)]
    planes = F.conv2d(exact[0].permute(0, 3, 1, 2), exact[1], exact[2], padding=SIZE // 2, groups=channels)
    wanted_y = planes.permute(0, 2, 3, 1)
    wanted = torch.autograd.grad(wanted_y, exact, dy.double())
    inputs = [tensor.requires_grad_() for tensor in (x, weight, bias)]
    results = []
    for _ in range(2):
        y = depthwise_conv(*inputs)
        results.append([y.detach(), *torch.autograd.grad(y, inputs, dy)])
    errors = [error(got, right) for got, right in zip(results[0], (wanted_y, *wanted), strict=True)]
    same = all(torch.equal(first, second) for first, second in zip(*results, strict=True))
    limit = 1e-5 if dtype == torch.float32 else 6e-3
    show({"part": "check", "shape": f"{images}x{side}x{side}x{channels}", "dtype": str(dtype)[6:], "same_bits": same,
          **dict(zip(("y", "dx", "dweight", "dbias"), errors, strict=True))})  # fmt: skip
    if not same or max(errors) > limit:
        failures.append(f"check {images}x{side}x{channels} {dtype}")


def checks() -> None:
    """Odd sizes, widths beside a block of channels, one tile, and the tower's geometry."""
    for images, side, channels in ((2, 13, 72), (1, 5, 64), (3, 32, 1536), (2, 16, 3072), (1, 128, 384)):
        for dtype in (torch.float32, torch.bfloat16):
            with guarded(f"check {images} {side} {channels} {dtype}"):
                check(images, side, channels, dtype)


def floor_ms(elements: int, tensors: int) -> float:
    """The least time of one pass over `elements` bf16 values in each of `tensors` tensors."""
    chip = torch.cuda.get_device_properties(0)
    clock = getattr(chip, "clock_rate", 1_755_000) * 1e3
    multiply = elements * SIZE * SIZE / (chip.multi_processor_count * MULTIPLIERS * clock)
    return 1e3 * max(2 * elements * tensors / HBM, multiply)


def layer_ways(x: torch.Tensor, dy: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> dict[str, Any]:
    """(way, pass) to a function."""
    channels, pad = len(weight), SIZE // 2
    ways: dict[str, Any] = {
        "ours": {
            "forward": lambda: correlate(x, weight, bias),
            "input": lambda: correlate(dy, weight, None, flip=True),
            "weight": lambda: weight_gradient(x, dy, SIZE),
        }
    }

    def backward(planes: torch.Tensor, slopes: torch.Tensor, mask: list[bool]) -> object:
        return torch.ops.aten.convolution_backward(
            slopes, planes, weight, [channels], [1, 1], [pad, pad], [1, 1], False, [0, 0], channels, mask
        )

    def cudnn(planes: torch.Tensor, slopes: torch.Tensor) -> dict[str, Callable[[], object]]:
        return {
            "forward": lambda: F.conv2d(planes, weight, bias, padding=pad, groups=channels),
            "input": lambda: backward(planes, slopes, [True, False, False]),
            "weight": lambda: backward(planes, slopes, [False, True, True]),
        }

    ways["cudnn_channels_last"] = cudnn(x.permute(0, 3, 1, 2), dy.permute(0, 3, 1, 2))
    ways["cudnn_contiguous"] = cudnn(x.permute(0, 3, 1, 2).contiguous(), dy.permute(0, 3, 1, 2).contiguous())
    return ways


def layers(tiles: int) -> None:
    """Forward, input and weight gradient in each stage's geometry."""
    for side, channels in zip(SIDES, DIMS, strict=True):
        tensors = drawn(tiles, side, channels, torch.bfloat16)
        elements = tensors[0].numel()
        for way, passes in layer_ways(*tensors).items():
            for name, function in passes.items():
                with guarded(f"{way} {name} {side}"):
                    took = milliseconds(function)
                    show({"part": "layer", "way": way, "pass": name, "side": side, "channels": channels, "ms": took,
                          "floor_ms": floor_ms(elements, 2), "gb_s": 4 * elements / took / 1e6})  # fmt: skip


def quickest(kernel: str, side: int, channels: int, tiles: int, candidates: list[Shape]) -> list[Shape]:
    """One kernel cut in several ways; the ways from the quickest to the slowest."""
    x, dy, weight, bias = drawn(tiles, side, channels, torch.bfloat16)
    times = []
    for number, shape in enumerate(candidates):
        with guarded(f"{kernel} {side} {shape}"):
            ways = {"correlate": partial(correlate, x, weight, bias), "sum_taps": partial(weight_gradient, x, dy, SIZE)}
            cut = replace(shape, columns=min(shape.columns, side))
            took = milliseconds(partial(ways[kernel], shape=cut), 30)
            show({"part": "shape", "kernel": kernel, "side": side, "ms": took, **asdict(cut)})
            times.append((took, number))
    return [candidates[number] for _, number in sorted(times)]


def shapes(tiles: int) -> None:
    """All ways for the third stage, the best of them for the others; the input gradient is the forward kernel."""
    for kernel, candidates in (("correlate", CORRELATE_SHAPES), ("sum_taps", SUM_SHAPES)):
        best = quickest(kernel, 32, 1536, tiles, candidates)[:3]
        for side, channels in ((128, 384), (64, 768), (16, 3072)):
            quickest(kernel, side, channels, tiles, best)


def main() -> int:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tiles", type=int, default=48)
    parser.add_argument("--tower-tiles", type=int, default=16)
    parser.add_argument("--part", nargs="*", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    show({"part": "machine", "gpu": torch.cuda.get_device_name(), "torch": torch.__version__,
          "cudnn": torch.backends.cudnn.version(), "timm": timm.__version__})  # fmt: skip
    parts = {
        "checks": checks, "shapes": partial(shapes, options.tiles), "layers": partial(layers, options.tiles),
        "patches": partial(patches, options.tiles), "blocks": partial(blocks, options.tiles),
        "profiles": partial(profiles, options.tiles), "tower": partial(tower, options.tower_tiles),
    }  # fmt: skip
    for name in PARTS:
        if name in options.part:
            with guarded(name):
                parts[name]()
                torch.cuda.empty_cache()
    print(json.dumps({"rows": rows, "failures": failures}) if options.json else f"failures: {failures}")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
