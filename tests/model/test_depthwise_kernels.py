"""The Triton kernels in Triton's interpreter, against float64: run as a script, it prints the relative errors."""

import json

import pytest
from triton_kernels import assembler_report, compiled_for_hopper, interpreted

CASES = {  # images, rows, columns, channels, kernel size, type; then how the two kernels are cut
    "seven": ((1, 2, 3, 6), 7, "float32", {"columns": 4, "channels": 8, "ahead": 1}, {"ahead": 1}),
    "ragged": ((3, 3, 5, 12), 3, "bfloat16", {"columns": 4, "channels": 8, "ahead": 2}, {"unroll": 2}),
}


def errors(shape, size, dtype, forward, weight_only):
    """Relative errors of the result and the gradients of input, weight and bias."""
    import torch
    from torch.nn import functional as F

    from model.vision import depthwise_kernels as kernels

    kernels.PROGRAMS = 5  # so that a program sums several images
    generator, channels = torch.Generator().manual_seed(1), shape[-1]
    shapes = (shape, shape, (channels, 1, size, size), (channels,))
    x, dy, weight, bias = (torch.randn(each, generator=generator).to(getattr(torch, dtype)) for each in shapes)
    exact = [tensor.double().requires_grad_() for tensor in (x, weight, bias)]
    planes = F.conv2d(exact[0].permute(0, 3, 1, 2), exact[1], exact[2], padding=size // 2, groups=channels)
    wanted = [planes.permute(0, 2, 3, 1), *torch.autograd.grad(planes, exact, dy.double().permute(0, 3, 1, 2))]
    cut = kernels.Shape(**forward)
    got = [
        kernels.correlate(x, weight, bias, shape=cut),
        kernels.correlate(dy, weight, None, flip=True, shape=cut),
        *kernels.weight_gradient(x, dy, size, shape=kernels.Shape(columns=8, channels=8, **weight_only)),
    ]
    return [float((ours.double() - right).norm() / right.norm()) for ours, right in zip(got, wanted, strict=True)]


@pytest.fixture(scope="module")
def found():
    return json.loads(interpreted(__file__))


@pytest.mark.parametrize("case", CASES)
def test_kernels_are_right_to_the_last_bits_of_their_type(found, case):
    result, dx, dweight, dbias = found[case]
    rounding = 5e-3 if CASES[case][2] == "bfloat16" else 1e-6
    assert max(result, dx) < rounding
    assert max(dweight, dbias) < 1e-6  # sums stay in float32 until the operator rounds them


@pytest.mark.parametrize("name", ["_correlate", "_sum_taps"])
def test_convnext_xxls_kernels_compile_for_hopper_without_spills(name, tmp_path):
    kernels = pytest.importorskip("model.vision.depthwise_kernels", reason="triton is not installed")
    shape = kernels.CORRELATE if name == "_correlate" else kernels.SUM_TAPS
    types = dict.fromkeys(("x", "dy", "taps", "bias", "y"), "*bf16") | {"parts": "*fp32"}
    cut = {"TILE": shape.columns, "BLOCK": shape.channels, "VECTOR": shape.vector, "AHEAD": shape.ahead}
    constants = {"size": 7, "width": 32, "channels": 1536, "UNROLL": shape.unroll, **cut}
    compiled = compiled_for_hopper(getattr(kernels, name), types, constants, num_warps=shape.warps, num_stages=1)
    assert "0 bytes spill stores, 0 bytes spill loads" in assembler_report(compiled.asm["ptx"], tmp_path)


if __name__ == "__main__":
    print(json.dumps({name: errors(*case) for name, case in CASES.items()}))
