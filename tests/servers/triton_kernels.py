"""Triton kernels where no GPU is: run by Triton's interpreter, and compiled for Hopper by the Triton of the lock."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def interpreted(*command):
    """What a Python process prints whose Triton interprets; that is decided when Triton is imported."""
    pytest.importorskip("triton", reason="triton is not installed")
    path = os.pathsep.join(filter(None, [str(ROOT), *sys.path]))
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, command)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def compiled_for_hopper(kernel, types, constants, **options):
    """A kernel as compiled for an H100; `types` by parameter (a pointer as "*bf16"), "i32" where it says nothing."""
    triton = pytest.importorskip("triton", reason="triton is not installed")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = [parameter.name for parameter in kernel.params]
    signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in names}
    fixed = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=fixed, attrs={})
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def assembler_report(ptx, folder):
    """What the assembler says of a kernel: registers, spills."""
    from triton.backends.nvidia.compiler import get_ptxas

    path = folder / "kernel.ptx"
    path.write_text(ptx)
    command = [get_ptxas(90).path, "-v", "--gpu-name", "sm_90a", str(path), "-o", str(path.with_suffix(".cubin"))]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr
