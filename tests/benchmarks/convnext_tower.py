"""The tower's part of bench_convnext.py: blocks, patch convolutions, the whole tower, and where the time goes."""

import itertools
from collections.abc import Callable

import torch
from kernel_rows import guarded, milliseconds, show
from timm.models.convnext import ConvNeXt
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

from model.vision.channels_last import PatchConv, fast_blocks, fast_patches

DIMS, DEPTHS, SIDES = (384, 768, 1536, 3072), (3, 4, 30, 3), (128, 64, 32, 16)
WAYS = ("timm_eager", "timm_compiled", "ours_eager", "ours_compiled", "ours_compiled_recompute")


def tower_flops(tile_side: int = 512) -> float:
    """Model FLOPs of a forward and backward pass of one tile: blocks, stem and downsampling."""
    total = 2.0 * 3 * 16 * DIMS[0] * (tile_side // 4) ** 2
    for depth, dim, side in zip(DEPTHS, DIMS, SIDES, strict=True):
        total += 2.0 * depth * side**2 * (8 * dim**2 + 49 * dim)
    for (before, after), side in zip(itertools.pairwise(DIMS), SIDES[1:], strict=True):
        total += 2.0 * 4 * before * after * side**2
    return 3 * total


def recomputing(forward: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """A forward that keeps its input alone; a partial of `checkpoint` would keep torch.compile out."""

    def recomputed(x: torch.Tensor) -> torch.Tensor:
        return checkpoint(forward, x, use_reentrant=False)

    return recomputed


def made(way: str) -> ConvNeXt:
    """The tower, in bfloat16 and channels last."""
    torch.manual_seed(0)
    with torch.device("cuda"):
        trunk = ConvNeXt(depths=DEPTHS, dims=DIMS, num_classes=0, global_pool="", ls_init_value=1.0)
    trunk = trunk.to(torch.bfloat16, memory_format=torch.channels_last)
    if "ours" in way:
        fast_blocks(trunk)
        fast_patches(trunk)
    blocks = [block for stage in trunk.stages for block in stage.blocks]
    if "recompute" in way:
        for block in blocks:
            block.forward = recomputing(block.forward)
    if "compiled" in way:
        torch._dynamo.reset()
        torch._dynamo.config.recompile_limit = 32  # one graph a width and layout of the input
        for part in (trunk.stem, *(stage.downsample for stage in trunk.stages[1:]), *blocks):
            part.compile(dynamic=True)
    return trunk


def drawn_planes(tiles: int, channels: int, side: int) -> torch.Tensor:
    """bfloat16 [tiles, channels, side, side] in channels-last memory."""
    return torch.randn(tiles, side, side, channels, device="cuda").to(torch.bfloat16).permute(0, 3, 1, 2)


def both_ways(module: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """A call that runs a module forward and backward."""

    def call() -> None:
        result = module(x)
        result.backward(result.detach())

    return call


def blocks(tiles: int) -> None:
    """Forward and backward of one block of each stage, at the full number of tiles."""
    for way in WAYS:
        with guarded(f"block {way}"):
            trunk = made(way)
            for stage, (side, dim) in enumerate(zip(SIDES, DIMS, strict=True)):
                call = both_ways(trunk.stages[stage].blocks[0], drawn_planes(tiles, dim, side).requires_grad_())
                took = milliseconds(call, 150)
                show({"part": "block", "way": way, "side": side, "tiles": tiles, "ms": took,
                      "tflop_s": 6.0 * tiles * side**2 * (8 * dim**2 + 49 * dim) / took / 1e9})  # fmt: skip
        torch.cuda.empty_cache()


def patches(tiles: int) -> None:
    """Stem and downsampling, forward and backward: cuDNN's convolution and one matrix."""
    widths = (
        (3, DIMS[0], 4, 512),
        *((*pair, 2, side) for pair, side in zip(itertools.pairwise(DIMS), SIDES, strict=False)),
    )
    for before, after, size, side in widths:
        for kind in (nn.Conv2d, PatchConv):
            with guarded(f"patches {kind} {before}"):
                layer = kind(before, after, size, size, device="cuda", dtype=torch.bfloat16)
                layer = layer.to(memory_format=torch.channels_last)
                x = drawn_planes(tiles, before, side).requires_grad_(before > 3)
                took = milliseconds(both_ways(layer, x), 150)
                show({"part": "patches", "way": kind.__name__, "channels": before, "side": side, "ms": took})
        torch.cuda.empty_cache()


def profiles(tiles: int) -> None:
    """The kernels of a block of the third stage, forward and backward, the longest first."""
    for way in ("timm_eager", "ours_compiled", "ours_compiled_recompute"):
        with guarded(f"profile {way}"):
            block = made(way).stages[2].blocks[0]
            call = both_ways(block, drawn_planes(tiles, 1536, 32).requires_grad_())
            for _ in range(3):
                call()
            with profile(activities=[ProfilerActivity.CUDA]) as seen:
                for _ in range(4):
                    call()
                torch.cuda.synchronize()
            for event in sorted(seen.key_averages(), key=lambda event: -event.self_device_time_total)[:24]:
                show({"part": "profile", "way": way, "ms": event.self_device_time_total / 4e3,
                      "calls": event.count / 4, "kernel": event.key[:110]})  # fmt: skip
        torch.cuda.empty_cache()


def tower(tiles: int) -> None:
    """Forward and backward of the whole tower."""
    for way in WAYS:
        with guarded(f"tower {way}"):
            torch.cuda.reset_peak_memory_stats()
            trunk, pixels = made(way), drawn_planes(tiles, 3, 512)
            took = milliseconds(both_ways(nn.Sequential(trunk.stem, trunk.stages), pixels), 1000)
            show({"part": "tower", "way": way, "tiles": tiles, "ms": took, "tiles_s": 1e3 * tiles / took,
                  "tflop_s": tower_flops() * tiles / took / 1e9,
                  "gib": torch.cuda.max_memory_allocated() / 2**30})  # fmt: skip
            del trunk
        torch.cuda.empty_cache()
