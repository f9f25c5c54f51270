"""The logs of a run on Kubeflow Pipelines: from its pods while they exist, then what its steps left in the storage."""

from collections.abc import Iterator
from dataclasses import dataclass

from components.step_errors import step_errors
from components.trainjob_secrets import masked, secrets_of
from data.errors import AerieError
from pipelines.kfp_client import KfpApi, KfpError
from pipelines.run_tasks import pods_of, tasks_of
from pipelines.runs import RunState

LOG_PATH = "/apis/v1alpha1/runs/{run}/nodes/{pod}/log"
GONE = 500  # KFP's answer for a pod that isn't there (any more)
# KFP names a pod by Argo's node; where Argo puts the template into the name, it is one of these.
TEMPLATES = ("system-container-impl", "retry-system-container-impl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A piece of log and where it came from."""

    source: str
    text: str


def logs_of(api: KfpApi, run: RunState, task_name: str = "") -> Iterator[Log]:
    """Logs task by task; `AerieError` for a task that the run doesn't have, or when there is nothing to read."""
    tasks = tasks_of(run)
    if task_name and task_name not in {task.name for task in tasks}:
        names = ", ".join(dict.fromkeys(task.name for task in tasks)) or "none yet"
        raise AerieError(f"run {run.name} has no task {task_name!r}; it has: {names}")
    chosen = [task for task in tasks if task_name in {"", task.name}]
    found = False
    for task in chosen:
        for pod in pods_of(run, task):
            text = _pod_log(api, run.run_id, pod)
            if text is not None:
                found = True
                yield Log(source=f"{task.name} (pod {pod})", text=masked(text, secrets_of()))
    if not found:
        yield from _reported_errors(run)


def _pod_log(api: KfpApi, run_id: str, node: str) -> str | None:
    """A pod's log through KFP, None when the pod is gone."""
    workflow, _, number = node.rpartition("-")
    for pod in (node, *(f"{workflow}-{template}-{number}" for template in TEMPLATES)):
        payload = api.patiently(lambda pod=pod: _fetch(api, LOG_PATH.format(run=run_id, pod=pod)))
        if payload is not None:
            return payload.decode(errors="replace")
    return None


def _fetch(api: KfpApi, path: str) -> bytes | None:
    try:
        return api.fetch("GET", path)
    except KfpError as error:
        if error.status == GONE:
            return None
        raise


def _reported_errors(run: RunState) -> Iterator[Log]:
    storage, name = run.parameters.get("storage_uri", ""), run.parameters.get("run_id", "")
    errors = step_errors(storage, name) if storage and name else {}
    if not errors:
        raise AerieError(
            f"run {run.name} has no pods with logs (none has begun, or they were deleted with the workflow), and its "
            f"steps reported no errors under {storage or 'its storage'}"
        )
    for step, message in errors.items():
        yield Log(source=f"{step} (no pod is left; its error in {storage}/{name}/errors)", text=message)
