"""`python -m model.training STAGE ...` under torchrun: one process of a training stage."""

import json
import os
import sys
import traceback
from typing import Any

from data.errors import AerieError
from data.files import join, write_bytes
from model.training.job import TrainingJob, parse
from model.training.launch import EVENT
from model.training.stopping import STOPPED_EXIT_CODE, StopRequest, die_with_parent


def main() -> int:
    """Train; returns the exit code. What went wrong is said in one line that `train_stage` turns into its error."""
    job, watch = parse()
    if watch:
        die_with_parent()
    stop = StopRequest()
    stop.listen()
    try:
        return _train(job, stop)
    except AerieError as error:
        _tell("error", message=str(error))
    except Exception as error:
        _tell("error", message=f"{type(error).__name__}: {error}\n  at {_place(error)}; all of it in {_keep(job)}")
    return 1


def _train(job: TrainingJob, stop: StopRequest) -> int:
    import torch

    from model.training.stage import train  # after the signals are set: the libraries take seconds

    if not torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    finished = train(job, stop)
    if not finished:
        _tell("stopped")
    torch.distributed.destroy_process_group()
    return 0 if finished else STOPPED_EXIT_CODE


def _place(error: Exception) -> str:
    """File and line of our own code where an unexpected error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}model{os.sep}" in frame.filename] or frames
    return f"{ours[-1].filename}:{ours[-1].lineno}"


def _keep(job: TrainingJob) -> str:
    """Write the current traceback beside the checkpoints; the user reads one line and finds the rest there."""
    uri = join(job.out_uri, f"failure-rank{os.environ.get('RANK', '0')}.txt")
    write_bytes(uri, traceback.format_exc().encode())
    return uri


def _tell(event: str, **values: Any) -> None:
    print(f"\n{EVENT}{json.dumps({'event': event, **values})}", flush=True)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a failed rank must not wait in an exit handler for ranks that wait for it
