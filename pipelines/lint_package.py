"""A compiled pipeline as the linter sees it: every task of every graph, with its component, pod and parent."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from data.errors import AerieError

# What a task starts from: a literal, another task's output, an input of the pipeline, an item of a loop, a run's state.
Kind = Literal["constant", "output", "input", "item", "status", "unset"]
PLACEHOLDER_IMAGE = "argostub/"  # KFP's own operations (CreatePVC) carry no real image
EXIT_STRATEGY = "ALL_UPSTREAM_TASKS_COMPLETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task; `container`, `importer` and `graph` are empty where the task isn't of that kind.

    extras: what kfp-kubernetes says about its pod (labels, tolerations, volumes).
    """

    name: str
    spec: dict[str, Any]
    component: dict[str, Any]
    container: dict[str, Any]
    importer: dict[str, Any]
    extras: dict[str, Any]
    parent: "Task | None"

    @property
    def path(self) -> str:
        """The task's names from the root on, joined by slashes."""
        return f"{self.parent.path}/{self.name}" if self.parent else self.name

    @property
    def graph(self) -> dict[str, Any]:
        """The tasks of a sub-pipeline, a loop or a condition."""
        return self.component.get("dag", {}).get("tasks", {})

    @property
    def ancestors(self) -> Iterator["Task"]:
        """The graphs that hold this task, the nearest first."""
        above = self.parent
        while above:
            yield above
            above = above.parent

    @property
    def root(self) -> "Task":
        """The task of the pipeline's outermost graph that holds this one, or this one itself."""
        return [self, *self.ancestors][-1]

    @property
    def inputs(self) -> dict[str, Any]:
        """The component's input parameters by name: type, default, description."""
        return self.component.get("inputDefinitions", {}).get("parameters", {})

    @property
    def accelerators(self) -> tuple[int, str]:
        """How many its pod asks for (0: none; a number that only the run knows counts as 1), and of what."""
        given = self.container.get("resources", {}).get("accelerator", {})
        count = str(given.get("resourceCount", given.get("count", "0")))
        return int(count) if count.isdigit() else 1, str(given.get("resourceType", given.get("type", "")))

    @property
    def artifacts_out(self) -> dict[str, str]:
        """Type (system.Dataset, ...) of each output artifact."""
        found = self.component.get("outputDefinitions", {}).get("artifacts", {})
        return {name: entry["artifactType"].get("schemaTitle", "") for name, entry in found.items()}

    @property
    def condition(self) -> str:
        """The expression that decides whether the task runs."""
        return self.spec.get("triggerPolicy", {}).get("condition", "")

    @property
    def is_exit_task(self) -> bool:
        """True when it also runs after a failure."""
        return self.spec.get("triggerPolicy", {}).get("strategy") == EXIT_STRATEGY

    @property
    def cached(self) -> bool:
        """True when KFP may serve an earlier execution's outputs."""
        return bool(self.spec.get("cachingOptions", {}).get("enableCache"))

    @property
    def function(self) -> str:
        """Name of a lightweight component's function."""
        arguments = self.container.get("args", [])
        marker = "--function_to_execute"
        return arguments[arguments.index(marker) + 1] if marker in arguments[:-1] else ""

    @property
    def program(self) -> ast.Module | None:
        """The Python program that travels in a lightweight component's command."""
        texts = self.container.get("command", []) if self.function else []
        return next((ast.parse(text) for text in texts if f"def {self.function}(" in text), None)

    @property
    def source(self) -> ast.FunctionDef | None:
        """The component's function in that program."""
        found = self.program.body if self.program else []
        return next((n for n in found if isinstance(n, ast.FunctionDef) and n.name == self.function), None)

    def origin(self, parameter: str) -> tuple[Kind, Any]:
        """Where a parameter's value comes from, through all graphs above: a constant's value, else a name."""
        given = self.spec.get("inputs", {}).get("parameters", {}).get(parameter, {})
        if "runtimeValue" in given:
            return "constant", given["runtimeValue"].get("constant")
        if "taskOutputParameter" in given:
            return "output", given["taskOutputParameter"]["producerTask"]
        if "taskFinalStatus" in given:
            return "status", given["taskFinalStatus"].get("producerTask", "")
        if "componentInputParameter" not in given:
            return "unset", parameter
        name = given["componentInputParameter"]
        if self.parent is None:
            return "input", name
        if name == self.parent.spec.get("parameterIterator", {}).get("itemInput"):
            return "item", name
        return self.parent.origin(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One compiled pipeline; `manifest` is the PipelineVersion that carried it, if it came as one."""

    file: str
    spec: dict[str, Any]
    platform: dict[str, Any]
    manifest: dict[str, Any] = field(default_factory=dict)
    tasks: tuple[Task, ...] = field(default=())

    @property
    def inputs(self) -> dict[str, Any]:
        """The pipeline's parameters by name: type, default, description."""
        return self.spec["root"].get("inputDefinitions", {}).get("parameters", {})

    @property
    def pods(self) -> list[Task]:
        """The tasks that run a container of ours."""
        return [t for t in self.tasks if t.container and not t.container["image"].startswith(PLACEHOLDER_IMAGE)]

    def children(self, parent: Task | None) -> dict[str, Task]:
        """The tasks of one graph by name."""
        return {task.name: task for task in self.tasks if task.parent is parent}


def read_packages(path: Path) -> list[Package]:
    """The pipelines of one YAML file: IR with its platform settings, or PipelineVersion manifests."""
    try:
        documents = [d for d in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader) if isinstance(d, dict)]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AerieError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    versions = [entry for entry in documents if entry.get("kind") == "PipelineVersion"]
    found = [_package(path, entry.get("spec", {}), entry) for entry in versions]
    specs = [entry for entry in documents if "root" in entry and "pipelineInfo" in entry]
    platform: dict[str, Any] = next((entry for entry in documents if "platforms" in entry), {})
    found += [_package(path, {"pipelineSpec": entry, "platformSpec": platform}, {}) for entry in specs]
    if not found:
        raise AerieError(f"{path} holds no compiled pipeline; make one with: aerie compile --out FOLDER")
    return found


def _package(path: Path, entry: dict[str, Any], manifest: dict[str, Any]) -> Package:
    try:
        spec = entry["pipelineSpec"]
        platform = entry.get("platformSpec", {}).get("platforms", {}).get("kubernetes", {})
        tasks = tuple(_walk(spec, platform, spec["root"]["dag"]["tasks"], None))
    except (KeyError, TypeError) as error:
        raise AerieError(f"{path} is not a whole compiled pipeline, {error} is missing; compile it anew") from error
    return Package(file=str(path), spec=spec, platform=platform, manifest=manifest, tasks=tasks)


def _walk(spec: Any, platform: Any, graph: dict[str, Any], parent: Task | None) -> Iterator[Task]:
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    extras = platform.get("deploymentSpec", {}).get("executors", {})
    for name, entry in graph.items():
        component = spec["components"][entry["componentRef"]["name"]]
        label = component.get("executorLabel", "")
        executor = executors[label] if label else {}
        task = Task(
            name=name,
            spec=entry,
            component=component,
            container=executor.get("container", {}),
            importer=executor.get("importer", {}),
            extras=extras.get(label, {}),
            parent=parent,
        )
        yield task
        yield from _walk(spec, platform, task.graph, task)
