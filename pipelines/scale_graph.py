"""Size of a compiled pipeline on a cluster: pods, arguments, and the Argo Workflow that holds its state.

KFP's backend makes the Workflow; it can't be had offline, so its size is built up as the backend's compiler does it
(kubeflow/pipelines, backend/src/v2/compiler/argocompiler, its test data):
- spec: the JSON of every component and every container as a workflow argument, and the JSON of every task once more
  where its driver is called, with about REFERENCES bytes of names around it; FIXED bytes of common templates;
- status: a task with a container is seven nodes (driver and executor, each a pod below a Retry node, since Argo's
  defaults retry every template, and the graphs around them). The driver gets the component, the task and the container,
  and hands on a patch with the container and the executor's input, which the executor's nodes repeat.
"""

import base64
import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.lint_package import Package, Task
from pipelines.scale_limits import Workload

FIXED, REFERENCES = 16_000, 1_200
ARTIFACT_BYTES = 300  # name, type, metadata and the URI below the run's root
NAME_BYTES = 24  # of a source
UUID = "00000000-0000-4000-8000-000000000000"
SHA256 = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSize:
    """Counts and bytes of one run; status_bytes is the node status as JSON, packed_bytes the same as Argo packs it."""

    tasks: int
    drivers: int
    executors: int
    largest_argument: int
    largest_argument_of: str
    compiled_bytes: int
    spec_bytes: int
    status_bytes: int
    packed_bytes: int

    @property
    def pods(self) -> int:
        """Driver and executor pods over the whole run."""
        return self.drivers + self.executors

    @property
    def workflow_bytes(self) -> int:
        """The object in etcd at the end of the run."""
        return self.spec_bytes + min(self.status_bytes, self.packed_bytes)


def graph_size(package: Package, work: Workload) -> GraphSize:
    """Sizes of a package when every list that a loop runs over has `work.sources` items."""
    containers = [task for task in package.tasks if task.container]
    graphs = [task for task in package.tasks if task.graph]
    arguments = {task.path: executor_input(task, work) for task in containers}
    longest = max(arguments, key=lambda path: len(arguments[path]))
    executors = sum(copies(task, work) for task in containers)
    # One driver a container, one a graph, one more for each round of a loop, and one for the pipeline itself.
    rounds = sum(copies(task, work) * work.sources for task in graphs if "parameterIterator" in task.spec)
    status = json.dumps(list(_status(containers, graphs, arguments, work)), separators=(",", ":"))
    return GraphSize(
        tasks=len(package.tasks),
        drivers=executors + sum(copies(task, work) for task in graphs) + rounds + 1,
        executors=executors,
        largest_argument=len(arguments[longest]),
        largest_argument_of=longest,
        compiled_bytes=len(_text(package.spec)),
        spec_bytes=_spec_bytes(package),
        status_bytes=len(status),
        packed_bytes=len(base64.b64encode(gzip.compress(status.encode(), mtime=0))),
    )


def copies(task: Task, work: Workload) -> int:
    """How often a task is executed: once per item of every loop around it."""
    return work.sources ** sum("parameterIterator" in above.spec for above in task.ancestors)


def executor_input(task: Task, work: Workload) -> str:
    """The longest argument of a task's pod: all its values and output places as one JSON text."""
    values = {name: simulated(task, name, work) for name in task.inputs}
    outputs = dict.fromkeys(task.artifacts_out, "x" * ARTIFACT_BYTES)
    return _text({"inputs": {"parameterValues": values}, "outputs": {"artifacts": outputs, "outputFile": "x" * 100}})


def simulated(task: Task, name: str, work: Workload) -> Any:
    """A value as long as the real one: constants as they are, hashes, names, URIs and ids by the parameter's name."""
    kind, value = task.origin(name)
    if kind == "constant":
        return UUID if str(value).startswith("{{$") else value
    if task.inputs[name].get("parameterType") == "LIST":
        return [SHA256 if kind == "output" else "n" * NAME_BYTES] * work.sources
    if name.endswith("_sha256"):
        return SHA256
    return "s3://aerie/" + "u" * 60 if name.endswith("_uri") else UUID


def largest_list(package: Package, limit: int) -> int:
    """The most items a loop's list may have before an argument of this package grows beyond `limit` bytes."""
    low, high = 1, limit // NAME_BYTES
    while low < high:
        middle = (low + high + 1) // 2
        work = Workload(sources=middle)
        fits = all(len(executor_input(task, work)) <= limit for task in package.tasks if task.container)
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _spec_bytes(package: Package) -> int:
    """JSON texts inside JSON: every quote costs a backslash."""
    executors = package.spec["deploymentSpec"]["executors"].values()
    settings = package.platform.get("deploymentSpec", {}).get("executors", {}).values()
    parts = [*package.spec["components"].values(), package.spec["root"], *executors, *settings]
    parts += [task.spec for task in package.tasks]
    return FIXED + REFERENCES * len(package.tasks) + sum(len(json.dumps(_text(part))) for part in parts)


def _status(
    containers: list[Task], graphs: list[Task], arguments: dict[str, str], work: Workload
) -> Iterator[dict[str, Any]]:
    """The nodes of a finished run, with names and times of their own as in a real one."""
    chance = random.Random(0)
    for task in containers:
        container = {key: task.container.get(key) for key in ("command", "args", "image", "env", "resources")}
        patch = _text({"containers": [container], "input": arguments[task.path]})
        called = {"component": task.component, "task": task.spec, "container": container, "config": task.extras}
        driver = {name: _text(value) for name, value in called.items()}
        for _ in range(copies(task, work)):
            for kind in ("Retry", "Pod"):
                yield _node(chance, task, kind, driver, {"pod-spec-patch": patch, "cached-decision": "false"})
            for kind in ("Retry", "DAG", "Retry", "Pod"):
                yield _node(chance, task, kind, {"pod-spec-patch": patch}, {})
            yield _node(chance, task, "DAG", {}, {})
    for task in graphs:
        inside = {"component": _text(task.component), "task": _text(task.spec)}
        rounds = 1 + (work.sources if "parameterIterator" in task.spec else 0)
        for _ in range(copies(task, work) * rounds):
            for kind in ("Retry", "Pod", "Retry", "DAG"):
                yield _node(chance, task, kind, inside if kind != "DAG" else {}, {"execution-id": "1"})


def _node(
    chance: random.Random, task: Task, kind: str, inputs: dict[str, str], outputs: dict[str, str]
) -> dict[str, Any]:
    """One entry of status.nodes as Argo writes it."""
    number = chance.randrange(10**10)
    second = f"2026-01-01T{number % 24:02}:{number % 60:02}:{number // 60 % 60:02}Z"
    return {
        "id": f"aerie-end-to-end-{UUID[:5]}-{number}",
        "name": f"aerie-end-to-end.root.{task.path.replace('/', '.')}({number % 1000})",
        "displayName": task.name,
        "type": kind,
        "templateName": task.name,
        "templateScope": "local/aerie-end-to-end",
        "phase": "Succeeded",
        "boundaryID": f"aerie-end-to-end-{UUID[:5]}-{chance.randrange(10**10)}",
        "startedAt": second,
        "finishedAt": second,
        "progress": "1/1",
        "resourcesDuration": {"cpu": number % 1000, "memory": number % 9000},
        "inputs": {"parameters": [{"name": name, "value": value} for name, value in inputs.items()]},
        "outputs": {"parameters": [{"name": name, "value": value} for name, value in outputs.items()], "exitCode": "0"},
        "children": [f"aerie-end-to-end-{UUID[:5]}-{chance.randrange(10**10)}"],
        "hostNodeName": f"node-pool-{number % 7}-{number % 99}",
    }
