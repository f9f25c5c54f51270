"""Starts torchrun for a stage, passes its output on, and turns whatever goes wrong into one clear error."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.cores import given_cores
from data.errors import AerieError
from model.training.job import TrainingJob

EVENT = "::training "
TAIL_LINES = 12
SAVING_VARIABLE, SAVING_SECONDS = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT", 120  # after SIGTERM; torchrun's own 30 are few
GRACE_SECONDS = SAVING_SECONDS + 30.0
WORKER_DIED = re.compile(r"failed \(exitcode: (-?\d+)\) local_rank: (\d+)")


def launch(job: TrainingJob, processes: int) -> None:
    """Train a stage in `processes` processes of this machine; returns when its files are written.

    AerieError: the worker's own message, or how it died, or that it was asked to stop and saved its state.
    """
    process = subprocess.Popen(
        _command(job, processes),
        stdin=subprocess.PIPE,  # never written: its end tells the workers that this process is gone
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=_environment(processes),
        start_new_session=True,
    )
    output = Output(job.stage)
    reader = threading.Thread(target=output.read, args=(process.stdout,), daemon=True)
    reader.start()
    with _ending_with_us(process):
        code = process.wait()
        if process.stdin:
            process.stdin.close()  # workers that outlived torchrun end now
        reader.join(GRACE_SECONDS)
    if code:
        raise AerieError(output.explain(code))


def _print(line: str) -> None:
    print(line, flush=True)


class Output:
    """The lines of torchrun and its workers: shown as they come, except reports of a failure, which are kept."""

    def __init__(self, stage: str, show: Callable[[str], None] = _print) -> None:
        self.stage, self._show = stage, show
        self.events: list[dict[str, Any]] = []
        self.deaths: list[tuple[int, int]] = []
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._failing = False

    def read(self, lines: Any) -> None:
        """Take lines until the last writer is gone."""
        for line in lines:
            self.take(line.rstrip("\n"))

    def take(self, line: str) -> None:
        """One line."""
        if (event := _event(line)) is not None:
            self.events.append(event)
            return
        if found := WORKER_DIED.search(line):
            self.deaths.append((int(found[1]), int(found[2])))
            self._failing = True  # from here on torchrun explains itself at length
        if line.startswith("Traceback (most recent call last)"):
            self._failing = True
        if line.startswith(f"{self.stage}  "):
            self._failing = False
        if not self._failing and line.strip():
            self._show(line)
        if line.strip() and not self.deaths:
            self.tail.append(line)

    def explain(self, code: int) -> str:
        """Why training ended with an exit code."""
        known = self.reason()
        return known or f"{self.stage}: training ended with exit code {code}; its last lines:\n" + "\n".join(self.tail)

    def reason(self) -> str:
        """Why training ended, as far as the workers or torchrun said it; empty when they didn't."""
        for event in self.events:
            if event["event"] == "error":
                return f"{self.stage}: {event['message']}"
        if any(event["event"] == "stopped" for event in self.events):
            return f"{self.stage} was asked to stop and saved a checkpoint; run it again to continue from there"
        if killed := [(-status, rank) for status, rank in self.deaths if status < 0]:
            number, rank = killed[0]
            why = " (often: out of memory)" if number == signal.SIGKILL else ""
            name = signal.Signals(number).name
            return f"{self.stage}: process {rank} was killed by {name}{why}; run it again to go on from a checkpoint"
        return ""


def _event(line: str) -> dict[str, Any] | None:
    """The event that a line carries; a line cut in the middle is an ordinary line."""
    try:
        event = json.loads(line.removeprefix(EVENT)) if line.startswith(EVENT) else None
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _command(job: TrainingJob, processes: int) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [*torchrun, "-m", "model.training", *job.arguments(), "--watch-stdin"]


def _environment(processes: int) -> dict[str, str]:
    """The workers' variables: cores shared out evenly, and our rooms importable wherever this process runs."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    defaults = {"OMP_NUM_THREADS": str(max(given_cores() // processes, 1)), "TOKENIZERS_PARALLELISM": "false"}
    defaults |= {SAVING_VARIABLE: str(SAVING_SECONDS)}
    return {**defaults, **os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


@contextmanager
def _ending_with_us(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Hand SIGTERM on to torchrun, and leave nothing of it behind when this process is interrupted."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate()) if main else None
    try:
        yield
    except BaseException:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        if main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
