"""Why a TrainJob failed, in one message: its condition, the pods' exit codes, and what the first failed pod said."""

import signal
from collections.abc import Callable, Sequence
from typing import Any

from components.trainjob_state import JobState, PodState

MOST_PODS = 5


def explain(
    where: str, job: JobState, pods: Sequence[PodState], last_words: Callable[[PodState], Any], followed: Any
) -> str:
    """The message. `last_words` reads a pod's log into an `Output`; `followed` is that of the log printed so far."""
    failed = first_failed(pods)
    lines = [f"{where} failed: {job.reason}: {job.message}".rstrip(": ")]
    lines += [f"  {pod.name} (node {pod.node}) {ending(pod)}" for pod in failed[:MOST_PODS]]
    lines += [f"  and {len(failed) - MOST_PODS} more"] if len(failed) > MOST_PODS else []
    said = last_words(failed[0]) if failed else followed
    return "\n".join([*lines, *_said(said if said.tail or said.events else followed)])


def first_failed(pods: Sequence[PodState]) -> list[PodState]:
    """The failed pods, the one that ended first at the front: the others mostly died of its death."""
    return sorted((pod for pod in pods if pod.failed), key=lambda pod: (pod.finished or "~", pod.node))


def ending(pod: PodState) -> str:
    """How a pod's container ended."""
    if pod.exit_code is None:
        return f"ended: {pod.reason or 'without an exit code'}"
    number = pod.exit_code - 128
    name = f", {signal.Signals(number).name}" if number in set(signal.Signals) else ""
    return f"exited with {pod.exit_code}{name}" + (f" ({pod.reason})" if pod.reason not in {"", "Error"} else "")


def _said(output: Any) -> list[str]:
    if reason := output.reason():
        return [reason]
    return ["its last lines:", *output.tail] if output.tail else ["it left no log"]
