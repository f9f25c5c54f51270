"""Eq. 1 on a GPU. Here the kernel is compiled for Hopper and its machine code looked at; on an H100 it also runs."""

import numpy as np
import pytest
from triton_kernels import assembler_report

from data.curation.similarity import pool_similarity
from data.curation.similarity_gpu import gpu_available, pool_similarity_gpu

NEEDS_GPU = pytest.mark.skipif(not gpu_available(), reason="no H100 or H200 here")


@pytest.fixture(scope="module")
def ptxas_report(tmp_path_factory) -> tuple[str, str]:
    """(PTX, what the assembler says of it)."""
    triton = pytest.importorskip("triton", reason="triton is not installed")
    from triton.backends.compiler import GPUTarget
    from triton.experimental.gluon import language as gl
    from triton.experimental.gluon._runtime import GluonASTSource

    from data.curation import similarity_kernel as kernel

    def tiles(rows: int) -> str:
        layout = gl.NVMMASharedLayout.get_default_for([rows, kernel.DEPTH.value], gl.float16)
        return f"tensordesc<fp16[{rows},{kernel.DEPTH.value}],{layout!r}>"

    constants = {"segment": kernel.SEGMENT, "image_depths": 8, "text_depths": 12}
    names = [parameter.name for parameter in kernel.nearest_kernel.params]
    signature = dict.fromkeys(names, "i32") | dict.fromkeys(constants, "constexpr") | {"keys": "*i64"}
    signature |= dict.fromkeys(("images", "texts"), tiles(kernel.HALF.value))
    signature |= dict.fromkeys(("pool_images", "pool_texts"), tiles(kernel.COLUMNS.value))
    source = GluonASTSource(
        fn=kernel.nearest_kernel,
        signature=signature,
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
    return compiled.asm["ptx"], assembler_report(compiled.asm["ptx"], tmp_path_factory.mktemp("kernel"))


def test_both_products_stay_in_registers(ptxas_report):
    _, report = ptxas_report
    assert "0 bytes spill stores, 0 bytes spill loads" in report
    assert "C75" not in report, f"the assembler serialises the matrix instructions: {report}"


def test_it_uses_hoppers_matrix_and_copy_units(ptxas_report):
    ptx, _ = ptxas_report
    assert "wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16" in ptx
    assert "cp.async.bulk.tensor.2d" in ptx


def unit(dice: np.random.Generator, rows: int, width: int) -> np.ndarray:
    vectors = dice.standard_normal((rows, width), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@NEEDS_GPU
@pytest.mark.parametrize(
    ("new", "pool", "widths", "dtype"),
    [
        (1, 1, (512, 768), np.float32),
        (3, 257, (512, 768), np.float16),
        (129, 1000, (1280, 384), np.float32),
        (1000, 70_001, (512, 768), np.float32),
        (500, 3000, (500, 700), np.float32),
    ],
)
def test_cpu_and_gpu_agree(new, pool, widths, dtype):
    dice = np.random.default_rng(new)
    images, texts, pool_images, pool_texts = (
        unit(dice, rows, width).astype(dtype) for rows in (new, pool) for width in widths
    )
    images[::7], pool_images[::5] = 0, 0  # samples without an image
    cpu = pool_similarity(images, texts, pool_images, pool_texts)
    gpu = pool_similarity_gpu(images, texts, pool_images, pool_texts, pool_rows=16_384)
    np.testing.assert_allclose(gpu.best, cpu.best, atol=1e-3)
    assert gpu.score == pytest.approx(cpu.score, abs=1e-4)
    assert (gpu.nearest == cpu.nearest).mean() > 0.99


@NEEDS_GPU
def test_the_first_of_equal_pool_rows_is_the_nearest():
    dice = np.random.default_rng(0)
    pool_images, pool_texts = unit(dice, 900, 512), unit(dice, 900, 768)
    pool = (np.tile(pool_images, (40, 1)), np.tile(pool_texts, (40, 1)))
    found = pool_similarity_gpu(pool_images[:200], pool_texts[:200], *pool, pool_rows=8192)
    assert found.nearest.tolist() == list(range(200))
