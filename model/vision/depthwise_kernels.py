"""Triton kernels of the depthwise convolution on channels-last tensors [N, H, W, C]: stride 1, same padding.

A program owns BLOCK channels x TILE columns of one image and walks down its rows. Every loaded value serves all rows
of the kernel at once, so a row costs `size` loads (the column shifts, which the first-level cache answers) for
size ** 2 multiplications. 49 multiplications an element are near the limit of the chip's plain float32 units: a
7 x 7 layer is bound by them (0.13 ms for 75M elements on an H100), not by memory.
"""
# ruff: noqa: N803, RUF005 (Triton: upper case for what is fixed at compile time; it knows no starred tuples)
# Kernels are not annotated: their compiler types the arguments.
# mypy: disable-error-code="no-untyped-def,assignment,misc"

from dataclasses import dataclass

import torch
import triton
import triton.language as tl


@triton.jit
def _shifted(
    row, inside, column, width: tl.constexpr, channels: tl.constexpr, size: tl.constexpr
):  # fmt: skip
    """A row's values for each of the kernel's columns: the tile shifted by -pad to pad, zero outside the image."""
    values = ()
    for shift in tl.static_range(size):
        there = column + (shift - size // 2)
        readable = inside & (there >= 0) & (there < width)
        values = values + (tl.load(row + (shift - size // 2) * channels, mask=readable, other=0),)
    return values


@triton.jit
def _correlate(
    x, taps, bias, y, rows, width: tl.constexpr, channels: tl.constexpr, size: tl.constexpr,
    TILE: tl.constexpr, BLOCK: tl.constexpr, VECTOR: tl.constexpr, AHEAD: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """y[n, h, w, c] = bias[c] + sum of x[n, h + i - pad, w + j - pad, c] * taps[i, j, c].

    sums[k] holds output row (row - pad + k) while input row `row` passes; each row finishes one output row.
    """
    pad: tl.constexpr = size // 2
    channel = tl.program_id(0) * BLOCK + tl.max_contiguous(tl.arange(0, BLOCK), VECTOR)[None, :]
    column = tl.program_id(1) * TILE + tl.arange(0, TILE)[:, None]
    inside = channel < channels
    if channels % BLOCK == 0:
        inside = tl.full([1, BLOCK], True, tl.int1)
    image = tl.program_id(2).to(tl.int64) * rows * width * channels
    place = column * channels + channel
    writable = inside & (column < width)

    weights = ()
    for tap in tl.static_range(size * size):
        weights = weights + (tl.load(taps + tap * channels + channel, mask=inside, other=0).to(tl.float32),)
    start = tl.zeros([TILE, BLOCK], tl.float32) + tl.load(bias + channel, mask=inside, other=0).to(tl.float32)
    sums = ()
    for _ in tl.static_range(size):
        sums = sums + (start,)

    source, target = x + image + place, y + image - pad * width * channels + place
    coming = ()
    for k in tl.static_range(AHEAD):
        coming = coming + _shifted(source, inside & (k < rows), column, width, channels, size)
        source += width * channels
    for row in tl.range(rows, loop_unroll_factor=UNROLL):
        coming = coming + _shifted(source, inside & (row + AHEAD < rows), column, width, channels, size)
        for shift in tl.static_range(size):
            value = coming[shift].to(tl.float32)
            added = ()
            for k in tl.static_range(size):
                added = added + (sums[k] + value * weights[(size - 1 - k) * size + shift],)
            sums = added
        coming = coming[size:]
        if row >= pad:
            tl.store(target, sums[0].to(y.dtype.element_ty), mask=writable)
        sums = sums[1:] + (start,)
        source += width * channels
        target += width * channels
    for k in tl.static_range(pad):
        tl.store(target, sums[k].to(y.dtype.element_ty), mask=writable & (rows - pad + k >= 0))
        target += width * channels


@triton.jit
def _sum_taps(
    x, dy, parts, images, rows, width: tl.constexpr, channels: tl.constexpr, size: tl.constexpr,
    TILE: tl.constexpr, BLOCK: tl.constexpr, VECTOR: tl.constexpr, AHEAD: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """parts[program, i * size + j, c] = sum of dy[n, h, w, c] * x[n, h + i - pad, w + j - pad, c] over its n, h, w.

    The last of the size ** 2 + 1 sums is the bias's, dy alone. window[k] holds row (row - pad + k) of dy.
    """
    pad: tl.constexpr = size // 2
    channel = tl.program_id(0) * BLOCK + tl.max_contiguous(tl.arange(0, BLOCK), VECTOR)[None, :]
    column = tl.program_id(1) * TILE + tl.arange(0, TILE)[:, None]
    inside = channel < channels
    if channels % BLOCK == 0:
        inside = tl.full([1, BLOCK], True, tl.int1)
    place = column * channels + channel
    written = inside & (column < width)

    zero = tl.zeros([TILE, BLOCK], tl.float32)
    sums = ()
    for _ in tl.static_range(size * size + 1):
        sums = sums + (zero,)
    first = tl.program_id(2).to(tl.int64) * rows * width * channels
    for _ in range(tl.program_id(2), images, tl.num_programs(2)):
        source, ahead = x + first + place, dy + first + place
        first += tl.num_programs(2).to(tl.int64) * rows * width * channels
        window = ()
        for _ in tl.static_range(pad):
            window = window + (zero,)
        for k in tl.static_range(pad):
            window = window + (tl.load(ahead, mask=written & (k < rows), other=0).to(tl.float32),)
            ahead += width * channels
        coming, slopes = (), ()
        for k in tl.static_range(AHEAD):
            coming = coming + _shifted(source, inside & (k < rows), column, width, channels, size)
            slopes = slopes + (tl.load(ahead, mask=written & (pad + k < rows), other=0),)
            source += width * channels
            ahead += width * channels
        for row in tl.range(rows, loop_unroll_factor=UNROLL):
            coming = coming + _shifted(source, inside & (row + AHEAD < rows), column, width, channels, size)
            slopes = slopes + (tl.load(ahead, mask=written & (row + pad + AHEAD < rows), other=0),)
            window = window + (slopes[0].to(tl.float32),)
            floats = ()
            for shift in tl.static_range(size):
                floats = floats + (coming[shift].to(tl.float32),)
            added = ()
            for tap in tl.static_range(size * size):
                added = added + (sums[tap] + floats[tap % size] * window[size - 1 - tap // size],)
            sums = added + (sums[size * size] + window[pad],)
            window, coming, slopes = window[1:], coming[size:], slopes[1:]
            source += width * channels
            ahead += width * channels

    program = tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)
    target = parts + program.to(tl.int64) * (size * size + 1) * channels + channel
    for tap in tl.static_range(size * size + 1):
        tl.store(target + tap * channels, tl.sum(sums[tap], axis=0, keep_dims=True), mask=inside)


@dataclass(frozen=True)
class Shape:
    """How a kernel is cut: `columns` x `channels` a program, in `warps` warps whose threads take `vector` channels.

    `registers` caps those of a thread (None: as many as the compiler likes), so that more programs share a core;
    `ahead` rows are loaded before they are needed; `unroll` rows make one turn of the loop.
    """

    columns: int
    channels: int
    vector: int = 2
    warps: int = 4
    registers: int | None = None
    ahead: int = 0
    unroll: int = 1


CORRELATE = Shape(columns=8, channels=64, ahead=2, unroll=2)
SUM_TAPS = Shape(columns=4, channels=64, ahead=1, unroll=4)
PROGRAMS = 2048  # that share the weight gradient, about; fixed, so that its order of sums is the same on every chip


def correlate(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *, flip: bool = False, shape: Shape = CORRELATE
) -> torch.Tensor:
    """x [N, H, W, C] with weight [C, 1, k, k], k odd, to [N, H, W, C] in x's type, accumulated in float32.

    With `flip` the weight is turned by 180 degrees: the gradient of the input from that of the output.
    """
    images, rows, width, channels = x.shape
    result = torch.empty_like(x, memory_format=torch.contiguous_format)
    if not x.numel():
        return result
    taps = weight.flatten(1).t()  # neighbouring channels lie side by side, as the kernel reads them
    taps = (taps.flip(0) if flip else taps).contiguous()
    bias = weight.new_zeros(channels) if bias is None else bias
    grid = (triton.cdiv(channels, shape.channels), triton.cdiv(width, shape.columns), images)
    _correlate[grid](
        x.contiguous(), taps, bias, result, rows, width, channels, weight.shape[-1], shape.columns,
        shape.channels, shape.vector, shape.ahead, shape.unroll,
        num_warps=shape.warps, num_stages=1, maxnreg=shape.registers,
    )  # fmt: skip
    return result


def weight_gradient(
    x: torch.Tensor, dy: torch.Tensor, size: int, *, shape: Shape = SUM_TAPS
) -> tuple[torch.Tensor, torch.Tensor]:
    """x and dy [N, H, W, C] to the gradients of weight [C, 1, size, size] and bias [C], both float32.

    Every program writes its own sums, which are then added in a fixed order: the same bits every time.
    """
    images, rows, width, channels = x.shape
    blocks, strips = triton.cdiv(channels, shape.channels), triton.cdiv(width, shape.columns)
    groups = min(images, triton.cdiv(PROGRAMS, blocks * strips))
    parts = x.new_empty((groups * strips, size * size + 1, channels), dtype=torch.float32)
    if x.numel():
        _sum_taps[(blocks, strips, groups)](
            x.contiguous(), dy.contiguous(), parts, images, rows, width, channels, size, shape.columns, shape.channels,
            shape.vector, shape.ahead, shape.unroll, num_warps=shape.warps, num_stages=1, maxnreg=shape.registers,
        )  # fmt: skip
    sums = parts.sum(0)
    return sums[:-1].t().reshape(channels, 1, size, size), sums[-1]
