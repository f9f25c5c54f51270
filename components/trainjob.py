"""Launches a stage's training: torchrun inside this task, or a TrainJob on the cluster."""

from collections.abc import Callable
from typing import Any


def launcher_for(training_runtime: str, placement: str, run_id: str, kfp_run_id: str) -> Callable[..., Any] | None:
    """None trains in this machine's processes; otherwise a function that runs the job as a TrainJob."""
    if not training_runtime:
        return None
    from data.errors import AerieError

    raise AerieError("TrainJobs are being written")
