"""Pictures of bytes made smaller or larger on a GPU, to the same bytes as on the processor: first along, then down.

Every picture of a batch has a size of its own; one launch takes them all. What a program must know of a picture stands
in its row of `plan` (resize_gpu.py writes it): where its pixels lie, how large it is, and its two tables.
"""

import triton
import triton.language as tl

# Columns of `plan`, int64.
SOURCE, WIDTH, HEIGHT, NARROW = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2), tl.constexpr(3)
ALONG, DOWN = tl.constexpr(4), tl.constexpr(7)  # a table: where it starts, taps, bits
COLUMNS = tl.constexpr(10)
BLOCK = tl.constexpr(1024)  # pixels' colours at once


@triton.jit
def _sum(pixels, step, last, tables, table, at, inside, size: tl.constexpr):
    """int32: rounded weighted sums. `pixels` points at neighbour 0 of each, `step` further lies the next one."""
    start, taps, bits = tl.load(table), tl.load(table + 1).to(tl.int32), tl.load(table + 2).to(tl.int32)
    first = tl.load(tables + start + at, mask=inside, other=0)
    total = tl.zeros((BLOCK,), tl.int32) + (1 << (bits - 1))
    for tap in range(taps):
        weight = tl.load(tables + start + (tap + 1) * size + at, mask=inside, other=0)
        place = tl.minimum(first + tap, last)  # beyond the last one the weight is zero
        total += weight * tl.load(pixels + place * step, mask=inside, other=0).to(tl.int32)
    return tl.minimum(tl.maximum(total >> bits, 0), 255)


@triton.jit
def along(pixels, plan, tables, narrow, size: tl.constexpr):
    """uint8 [height, width, 3] to [height, size, 3], picture by picture; programs of a picture share its pixels."""
    row = plan + tl.program_id(0) * COLUMNS
    width, height = tl.load(row + WIDTH).to(tl.int32), tl.load(row + HEIGHT).to(tl.int32)
    source, target = pixels + tl.load(row + SOURCE), narrow + tl.load(row + NARROW)
    count = height * size * 3
    for start in range(tl.program_id(1) * BLOCK, count, tl.num_programs(1) * BLOCK):
        place = start + tl.arange(0, BLOCK)
        inside = place < count
        line, rest = place // (size * 3), place % (size * 3)
        found = _sum(source + line * width * 3 + rest % 3, 3, width - 1, tables, row + ALONG, rest // 3, inside, size)
        tl.store(target + place, found.to(tl.uint8), mask=inside)


@triton.jit
def down(narrow, plan, tables, result, size: tl.constexpr):
    """uint8 [height, size, 3] to [size, size, 3]."""
    picture = tl.program_id(0)
    row = plan + picture * COLUMNS
    height, source = tl.load(row + HEIGHT).to(tl.int32), narrow + tl.load(row + NARROW)
    count: tl.constexpr = size * size * 3
    target = result + picture.to(tl.int64) * count
    for start in range(tl.program_id(1) * BLOCK, count, tl.num_programs(1) * BLOCK):
        place = start + tl.arange(0, BLOCK)
        inside = place < count
        line, rest = place // (size * 3), place % (size * 3)
        found = _sum(source + rest, size * 3, height - 1, tables, row + DOWN, line, inside, size)
        tl.store(target + place, found.to(tl.uint8), mask=inside)
