"""The Triton kernels in Triton's interpreter, against float64: run as a script, it prints the relative errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
def interpreted():
    """Triton decides at its import whether it interprets, so another process does it."""
    pytest.importorskip("triton")
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES)
def test_kernels_are_right_to_the_last_bits_of_their_type(interpreted, case):
    result, dx, dweight, dbias = interpreted[case]
    rounding = 5e-3 if CASES[case][2] == "bfloat16" else 1e-6
    assert max(result, dx) < rounding
    assert max(dweight, dbias) < 1e-6  # sums stay in float32 until the operator rounds them


if __name__ == "__main__":
    print(json.dumps({name: errors(*case) for name, case in CASES.items()}))
