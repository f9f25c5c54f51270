"""What the built images can do that no CPU run of the pipeline asks of them. `make e2e-docker` runs this."""

import os
import subprocess

import pytest

from components.images import DATA_IMAGE, EVAL_IMAGE, TRAIN_IMAGE
from pipelines.docker_run import STAGE_IMAGE

ENGINE = os.environ.get("ENGINE", "docker")
IMAGES = (DATA_IMAGE, EVAL_IMAGE, TRAIN_IMAGE, STAGE_IMAGE)
pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

# Triton's own way to build the launcher of a kernel, which it does on the GPU node; needs no GPU.
TRITON_BUILDS = """
from data.kernel_compiler import need_kernel_compiler
from triton.runtime.build import compile_module_from_src
need_kernel_compiler("a kernel")
source = '#include <Python.h>\\nstatic PyModuleDef probe = {PyModuleDef_HEAD_INIT, "probe", 0, -1, 0};'
source += "PyMODINIT_FUNC PyInit_probe(void) { return PyModule_Create(&probe); }"
print("built", compile_module_from_src(source, "probe").__name__)
"""
TORCH_COMPILES = """
import torch
print("compiled", torch.compile(lambda x: x.sin() + 1)(torch.zeros(8)).sum().item())
"""


def printed(image, script, *options):
    command = [ENGINE, "run", "--rm", "--network=none", *options, image, "python", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.mark.parametrize("image", IMAGES)
def test_a_gpu_kernel_can_be_compiled_in_each_image(image):
    assert printed(image, TRITON_BUILDS) == "built probe"


@pytest.mark.parametrize("image", [TRAIN_IMAGE, STAGE_IMAGE])
def test_torchs_compiler_works_where_stages_train(image):
    assert printed(image, TORCH_COMPILES) == "compiled 8.0"


@pytest.mark.parametrize("image", IMAGES)
def test_a_driver_is_found_where_gke_mounts_it(image, tmp_path):
    """Any library of its name will do: what counts is that the loader looks there."""
    built = ["gcc", "-shared", "-x", "c", "-", "-o", str(tmp_path / "libcuda.so.1")]
    subprocess.run(built, input="int aerie_driver(void) { return 570; }", text=True, check=True)
    tmp_path.chmod(0o755)
    script = "import ctypes; print(ctypes.CDLL('libcuda.so.1').aerie_driver())"
    assert printed(image, script, "--volume", f"{tmp_path}:/usr/local/nvidia/lib64:ro") == "570"


@pytest.mark.parametrize("image", IMAGES)
def test_a_containers_cores_are_those_of_its_quota(image):
    assert printed(image, "from data.cores import given_cores; print(given_cores())", "--cpus=1") == "1"
