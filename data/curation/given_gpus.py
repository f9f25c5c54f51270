"""A pod that holds GPUs and doesn't see them must stop: on its processors the work takes weeks, and nothing says so."""

import os

from data.errors import AerieError

GIVEN_GPUS = "AERIE_GIVEN_GPUS"  # how many GPUs the pod of this process asked for; set where the pod is described


def see_given_gpus() -> None:
    """`AerieError` where torch sees fewer GPUs than this pod was given; torch is imported only if it was given some."""
    given = int(os.environ.get(GIVEN_GPUS) or 0)
    if not given:
        return
    import torch

    # The count alone comes from NVML, which also counts where the driver is too old for CUDA to start.
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if seen < given:
        raise AerieError(
            f"this pod was given {given} GPU(s) and torch sees {seen}: the driver's libcuda.so.1 is in no folder of "
            f"ldconfig or LD_LIBRARY_PATH ({os.environ.get('LD_LIBRARY_PATH', '')!r}), or the driver is older than "
            f"torch's CUDA {torch.version.cuda} asks for; nvidia-smi on the node tells its version"
        )
