"""`torchrun -m model.training STAGE --recipe FILE --data RUN/packing/STAGE --out RUN/STAGE`: one process of a stage.

`train_stage` tells its workers more, the result's identity above all, and commits what they leave; a stage started by
hand works the identity out, goes on from its own checkpoints alone, and commits its result itself.
"""

import json
import os
import sys
import traceback
from typing import Any

from data.curation.given_gpus import see_given_gpus
from data.errors import AerieError
from data.files import join, write_bytes
from data.storage import committed
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
    see_given_gpus()
    import torch

    from model.training.run import identified, train_stage
    from model.training.stage import train  # after the signals are set: the libraries take seconds

    if not torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    by_hand = not job.fingerprint
    job = identified(job) if by_hand else job
    if by_hand and committed(job.out_uri, job.fingerprint):
        print(f"{job.stage}  {job.out_uri} holds this very stage already: nothing to do", flush=True)
        return 0
    finished = train(job, stop)
    if not finished:
        _tell("stopped")
    elif by_hand and torch.distributed.get_rank() == 0:
        places = (job.packing_uri, job.formatting_uri, job.tokenizer_uri, job.parent_uri, job.out_uri)
        train_stage(job.recipe_uri, job.recipe_sha256, job.stage, *places)  # it is trained: this commits it
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
