"""Pictures made smaller by whole numbers: what a GPU does, to the processor's own bytes."""

import numpy as np
import pytest
from triton_kernels import compiled_for_hopper, interpreted

from data.curation.picture_encoders import Preparation
from data.curation.resize_tables import resize_table


def by_table(pixels, size, mode, axis):
    """One side by its table, in 64 bits."""
    table = resize_table(pixels.shape[axis], size, mode)
    lines = np.moveaxis(pixels.astype(np.int64), axis, 0)
    total = np.full((size, *lines.shape[1:]), 1 << (table.bits - 1))
    for tap, weight in enumerate(table.weights):
        total += weight[:, None, None] * lines[np.minimum(table.first + tap, len(lines) - 1)]
    return np.moveaxis(np.clip(total >> table.bits, 0, 255), 0, axis)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [24, 96, 288])
def test_the_tables_give_torchs_bytes(mode, size):
    dice = np.random.default_rng(size)
    sizes = [(480, 640), (1, 1), (size, size), (size, 2 * size + 1), *dice.integers(1, 700, (12, 2)).tolist()]
    for number, (height, width) in enumerate(sizes):
        pixels = dice.integers(0, 256, (height, width, 3), np.uint8)
        if number % 3 == 0:
            pixels = pixels // 128 * 255  # edges that overshoot
        found = by_table(by_table(pixels, size, mode, 1), size, mode, 0)
        assert np.array_equal(found, Preparation(size=size, mode=mode)(pixels)), (height, width)


KERNEL = """
import numpy as np, torch
from data.curation.decoding_pool import PlacedPicture
from data.curation.picture_encoders import Preparation
from data.curation.resize_gpu import resized

dice = np.random.default_rng(0)
for mode in ("bilinear", "bicubic"):
    prepare, memory, pictures, at = Preparation(size=12, mode=mode), np.zeros(100_000, np.uint8), [], 0
    for number, (height, width) in enumerate([(30, 40), (30, 40), (12, 12), (5, 3), (50, 12), (1, 1)]):
        at += 1000 * (number == 3)  # the next slot
        pictures.append(PlacedPicture(at, height, width, ""))
        at = pictures[-1].stop
        pictures[-1].of(memory)[:] = dice.integers(0, 256, (height, width, 3), np.uint8)
    found = resized(torch.from_numpy(memory), pictures, prepare, "cpu").numpy()
    assert np.array_equal(found, np.stack([prepare(one.of(memory)) for one in pictures])), mode
print("equal")
"""


def test_the_kernels_give_the_same_bytes():
    assert interpreted("-c", KERNEL) == "equal"


@pytest.mark.parametrize("name", ["along", "down"])
def test_the_kernels_compile_for_hopper(name):
    resize_kernel = pytest.importorskip("data.curation.resize_kernel", reason="triton is not installed")
    kernel = getattr(resize_kernel, name)
    types = dict.fromkeys((parameter.name for parameter in kernel.params), "*u8") | {"plan": "*i64", "tables": "*i32"}
    assert "ld.global" in compiled_for_hopper(kernel, types, {"size": 288}).asm["ptx"]
