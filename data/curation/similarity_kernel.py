"""Eq. 1 on one Hopper GPU: two matrix products, their elementwise product and a running maximum in one kernel.

A block of the grid stays on its multiprocessor and walks over items: 128 new rows against a segment of the pool. One
warp copies tiles through a ring of shared memory; two groups of four warps multiply, 64 rows each. Neither product
ever leaves the registers: the image cosines wait there as fp16 while the text cosines are computed.

Names: `new` rows are compared with `pool` rows; a tile is HALF (or COLUMNS) rows x DEPTH of the width.
"""

from typing import Any

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import mbarrier, tma, warpgroup_mma, warpgroup_mma_wait
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

# Measured on an H100 (fp16, 16,384 x 1,048,576 x (512 + 768)): 703 TFLOP/s; a fourth stage 639, no groups 614.
HALF = gl.constexpr(64)  # new rows of one group of warps; an item has two such groups
COLUMNS = gl.constexpr(256)  # pool rows of a tile
DEPTH = gl.constexpr(64)
STAGES = gl.constexpr(3)  # tiles in flight
GROUP = gl.constexpr(16)  # row tiles that walk together: their operands and the pool tile they share stay in L2
LOW = gl.constexpr(COLUMNS.value - 1)  # the lowest bits of a product make room for its column inside the tile
SEGMENT = 32  # pool tiles of one item
REGISTERS = gl.constexpr([240, 24])  # of the second multiplier and of the copier; the first gets the rest
ELEMENTS = {"torch.float16": gl.float16, "torch.bfloat16": gl.bfloat16}


def descriptor(vectors: Any, rows: int) -> Any:
    """What the copy engine must know to fetch tiles of `rows` x DEPTH from vectors [N, K] on the device."""
    shape = [rows, DEPTH.value]
    layout = gl.NVMMASharedLayout.get_default_for(shape, ELEMENTS[str(vectors.dtype)])
    return TensorDescriptor.from_tensor(vectors, shape, layout)


@gluon.jit
def _item(item, row_tiles, segments):
    """(row tile, segment) of an item: all row tiles of a group pass a segment before the next segment comes."""
    group = item // (GROUP * segments)
    height = gl.minimum(row_tiles - group * GROUP, GROUP)
    inside = item - group * GROUP * segments
    return group * GROUP + inside % height, inside // height


@gluon.jit
def _copy(new, pool, ring, counter, row, column, depths):
    """All tiles of one product, in the order in which the multipliers take them."""
    full, empty, new_ring, pool_ring = ring
    for step in range(depths):
        stage = counter % STAGES
        mbarrier.wait(empty.index(stage), ((counter // STAGES) & 1) ^ 1)
        bar = full.index(stage)
        mbarrier.expect(bar, 2 * new.block_type.nbytes + pool.block_type.nbytes)
        tma.async_copy_global_to_shared(new, [row, step * DEPTH], bar, new_ring.index(2 * stage))
        tma.async_copy_global_to_shared(new, [row + HALF, step * DEPTH], bar, new_ring.index(2 * stage + 1))
        tma.async_copy_global_to_shared(pool, [column, step * DEPTH], bar, pool_ring.index(stage))
        counter += 1
    return counter


@gluon.jit
def _copier(images, texts, pool_images, pool_texts, ring, walk, segment, image_depths, text_depths):
    row_tiles, segments, tiles = walk
    counter = 0
    for item in range(gl.program_id(0), row_tiles * segments, gl.num_programs(0)):
        row_tile, at = _item(item, row_tiles, segments)
        row = row_tile * 2 * HALF
        for tile in range(at * segment, gl.minimum((at + 1) * segment, tiles)):
            column = tile * COLUMNS
            counter = _copy(images, pool_images, ring, counter, row, column, image_depths)
            counter = _copy(texts, pool_texts, ring, counter, row, column, text_depths)


@gluon.jit
def _product(ring, counter, which: gl.constexpr, depths, layout: gl.constexpr):
    """float32 [HALF, COLUMNS]: one product over its whole width; a slot of the ring is free one step later."""
    full, empty, new_ring, pool_ring = ring
    cosines = gl.zeros([HALF, COLUMNS], gl.float32, layout)
    for step in range(depths):
        stage = counter % STAGES
        mbarrier.wait(full.index(stage), (counter // STAGES) & 1)
        new, pool = new_ring.index(2 * stage + which), pool_ring.index(stage).permute((1, 0))
        cosines = warpgroup_mma(new, pool, cosines, use_acc=step > 0, is_async=True)
        cosines = warpgroup_mma_wait(1, deps=(cosines,))
        mbarrier.arrive(empty.index((counter + STAGES - 1) % STAGES), count=1, pred=step > 0)
        counter += 1
    cosines = warpgroup_mma_wait(0, deps=(cosines,))
    mbarrier.arrive(empty.index((counter + STAGES - 1) % STAGES), count=1)
    return cosines, counter


@gluon.jit
def _without_column(value):
    """A product without the column in its lowest bits."""
    return (value.to(gl.int32, bitcast=True) & ~LOW).to(gl.float32, bitcast=True)


@gluon.jit
def _multiplier(ring, keys, rows, first_tile, walk, which: gl.constexpr, segment, image_depths, text_depths):
    row_tiles, segments, tiles = walk
    layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], warps_per_cta=[4, 1], instr_shape=[16, COLUMNS, 16])
    by_row: gl.constexpr = gl.SliceLayout(1, layout)
    columns = gl.expand_dims(LOW - gl.arange(0, COLUMNS, gl.SliceLayout(0, layout)), 0)  # the first wins a tie
    counter = 0
    for item in range(gl.program_id(0), row_tiles * segments, gl.num_programs(0)):
        row_tile, at = _item(item, row_tiles, segments)
        best = gl.full([HALF], -2.0, gl.float32, by_row)
        where = gl.zeros([HALF], gl.int32, by_row)
        for tile in range(at * segment, gl.minimum((at + 1) * segment, tiles)):
            images, counter = _product(ring, counter, which, image_depths, layout)
            # Not pure: the compiler would move the conversion behind the next product; both products would then
            # live as float32 at once, and they don't fit into the registers.
            stash = gl.inline_asm_elementwise(
                "cvt.rn.f16x2.f32 $0, $2, $1;", "=r,r,r", [images], dtype=gl.float16, is_pure=False, pack=2
            )
            texts, counter = _product(ring, counter, which, text_depths, layout)
            product = texts * stash.to(gl.float32)
            marked = (product.to(gl.int32, bitcast=True) & ~LOW) | columns
            highest = gl.max(marked.to(gl.float32, bitcast=True), axis=1)
            better = _without_column(highest) > _without_column(best)  # strictly: on a tie the first row stays
            best = gl.where(better, highest, best)
            where = gl.where(better, tile, where)
        row = (row_tile * 2 + which) * HALF + gl.arange(0, HALF, by_row)
        gl.atomic_max(keys + row, _key(best, first_tile + where), mask=row < rows)


@gluon.jit
def _key(best, tile):
    """int64 that orders by the product, then by the earlier pool row."""
    place = tile * COLUMNS + LOW - (best.to(gl.int32, bitcast=True) & LOW)
    bits = _without_column(best).to(gl.int32, bitcast=True)
    ordered = gl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)  # integers in the order of the floats
    return (ordered.to(gl.int64) << 32) | (0x7FFFFFFF - place).to(gl.int64)


@gluon.jit
def nearest_kernel(
    images,
    texts,
    pool_images,
    pool_texts,
    keys,
    rows,
    first_tile,
    row_tiles,
    segments,
    tiles,
    segment: gl.constexpr,
    image_depths: gl.constexpr,
    text_depths: gl.constexpr,
):
    """Raise `keys` int64 [rows] by what `tiles` tiles of the pool hold; see `_key`. Four warps; one block an SM."""
    new_ring = gl.allocate_shared_memory(images.dtype, [2 * STAGES, HALF, DEPTH], images.layout)
    pool_ring = gl.allocate_shared_memory(images.dtype, [STAGES, COLUMNS, DEPTH], pool_images.layout)
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for stage in gl.static_range(STAGES):
        mbarrier.init(full.index(stage), count=1)
        mbarrier.init(empty.index(stage), count=2)
    walk = (row_tiles, segments, tiles)
    ring = (full, empty, new_ring, pool_ring)
    gl.warp_specialize(
        [
            (_multiplier, (ring, keys, rows, first_tile, walk, gl.constexpr(0), segment, image_depths, text_depths)),
            (_multiplier, (ring, keys, rows, first_tile, walk, gl.constexpr(1), segment, image_depths, text_depths)),
            (_copier, (images, texts, pool_images, pool_texts, ring, walk, segment, image_depths, text_depths)),
        ],
        [4, 1],
        REGISTERS,
    )
