"""A pod with GPUs that torch doesn't see stops with a message; every other one goes on."""

import subprocess
import sys

import pytest
import torch

from data.curation.given_gpus import GIVEN_GPUS, see_given_gpus
from data.errors import AerieError


def test_missing_gpus_are_told_with_what_to_look_at(monkeypatch):
    monkeypatch.setenv(GIVEN_GPUS, "99")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/local/nvidia/lib64")
    with pytest.raises(AerieError, match=r"given 99 GPU.*sees \d+.*/usr/local/nvidia/lib64.*nvidia-smi"):
        see_given_gpus()


@pytest.mark.parametrize(("starts", "counted"), [(False, 8), (True, 7)])
def test_gpus_that_are_counted_and_cannot_be_used_are_missing(monkeypatch, starts, counted):
    """An old driver: NVML counts them, CUDA doesn't start."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: starts)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: counted)
    monkeypatch.setenv(GIVEN_GPUS, "8")
    with pytest.raises(AerieError, match=f"torch sees {counted if starts else 0}: "):
        see_given_gpus()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    see_given_gpus()


def test_a_pod_without_gpus_does_not_even_load_torch(monkeypatch):
    monkeypatch.delenv(GIVEN_GPUS, raising=False)
    script = "import sys, data.curation.given_gpus as given; given.see_given_gpus(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
