"""Which nodes of a run's graph are tasks to a person, and which pods ran them.

Argo's graph of a KFP run: NAME-driver (prepares), NAME (the task), below it `executor` or, with retries,
`executor(0)`, `executor(1)` ...: the pods that ran our code. Children are also what comes afterwards.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from pipelines.runs import RunState, TaskState

EXECUTOR = re.compile(r"executor(\(\d+\))?")
SCAFFOLD = re.compile(r"(.*-)?driver|root|iteration-(item|iterator).*")
LATEST = datetime.max.replace(tzinfo=UTC)


def tasks_of(run: RunState) -> list[TaskState]:
    """The tasks in the order in which they began; those that haven't come last."""
    shown = [task for task in run.tasks if not _hidden(task)]
    return sorted(shown, key=lambda task: (task.started or LATEST, task.name))


def pods_of(run: RunState, task: TaskState) -> list[str]:
    """The pods that ran a task's code, in order; none for a task that KFP's cache answered."""
    nodes = {name: node for node in run.tasks for name in (node.task_id, node.pod) if name}
    executors = list(_executors_below(task, nodes))
    # Above the tries of a retried executor is a node without a pod.
    tries = [node for node in executors if "(" in node.name]
    return [node.pod for node in tries or executors if node.pod]


def _executors_below(task: TaskState, nodes: Mapping[str, TaskState]) -> Iterator[TaskState]:
    for child in (nodes[name] for name in task.child_ids if name in nodes):
        if EXECUTOR.fullmatch(child.name):
            yield child
            yield from _executors_below(child, nodes)


def seconds_of(task: TaskState) -> float | None:
    """How long a task took, or has taken until now; None before it began."""
    if task.started is None:
        return None
    return ((task.ended or datetime.now(UTC)) - task.started).total_seconds()


def _hidden(task: TaskState) -> bool:
    """Drivers, executors and the workflow's own node, whose name is its pod's."""
    return bool(EXECUTOR.fullmatch(task.name) or SCAFFOLD.fullmatch(task.name)) or task.name in {"", task.pod}
