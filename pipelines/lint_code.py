"""Rules about the Python source that travels inside a lightweight component."""

import ast
import builtins
import typing
from collections.abc import Iterator

from pipelines.lint_package import Package, Task
from pipelines.lint_rule import Rule, Trouble

REPORTS = {"system.HTML", "system.Markdown", "system.Metrics", "system.ClassificationMetrics"}
DROPPED_FIELDS = ("podSpecOverrides", "podTemplateOverrides")


def _functions(package: Package) -> Iterator[tuple[Task, ast.FunctionDef]]:
    for task in package.pods:
        source = task.source
        if source:
            yield task, source


def _bound(tree: ast.AST) -> set[str]:
    """Every name that a program gives a meaning to: arguments, targets, imports, functions, caught errors."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    return names


def module_name(package: Package) -> Iterator[Trouble]:
    """A name that nothing in the shipped program defines."""
    from kfp import dsl

    given = {*dir(builtins), *dir(typing), *dir(dsl)}  # KFP's preamble imports all of typing and kfp.dsl
    for task in package.pods:
        program = task.program
        if program is None:
            continue
        used = {n.id for n in ast.walk(program) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        for name in sorted(used - given - _bound(program)):
            yield task.path, f"the body of {task.function} uses {name}, which nothing in it defines"


def failing_report(package: Package) -> Iterator[Trouble]:
    """A task that writes a page or metrics and raises by itself."""
    for task, function in _functions(package):
        fails = any(isinstance(node, ast.Raise | ast.Assert) for node in ast.walk(function))
        exits = any(_called(node) in {"exit", "_exit"} for node in ast.walk(function))
        if (fails or exits) and REPORTS & set(task.artifacts_out.values()):
            yield task.path, f"{task.function} writes a report and can fail by its own decision"


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return getattr(node.func, "attr", "") or getattr(node.func, "id", "")


def unchecked_metric(package: Package) -> Iterator[Trouble]:
    """A number logged as it comes."""
    for task, function in _functions(package):
        calls = {_called(node) for node in ast.walk(function)}
        if "log_metric" in calls and not calls & {"isfinite", "isnan"}:
            yield task.path, f"{task.function} logs metrics without a check for NaN"


def output_uri(package: Package) -> Iterator[Trouble]:
    """An output artifact that is pointed elsewhere."""
    for task, function in _functions(package):
        for node in ast.walk(function):
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                owner = getattr(getattr(target, "value", None), "id", "")
                if isinstance(target, ast.Attribute) and target.attr == "uri" and owner in task.artifacts_out:
                    yield task.path, f"{task.function} sets {owner}.uri"


def one_final_state(package: Package) -> Iterator[Trouble]:
    """An exit task that knows only one runner's word for success."""
    for task, function in _functions(package):
        strings = {n.value for n in ast.walk(function) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        known = strings & {"COMPLETE", "SUCCEEDED"}
        if len(known) == 1:
            yield task.path, f"{task.function} compares the final state with {known.pop()} only"


def dropped_field(package: Package) -> Iterator[Trouble]:
    """A TrainJob field that the CRD doesn't have."""
    for task in package.pods:
        text = "\n".join([*task.container.get("command", []), *task.container.get("args", [])])
        for name in DROPPED_FIELDS:
            if name in text:
                yield task.path, f"the program writes {name}, which is no field of a TrainJob"


def installs_at_start(package: Package) -> Iterator[Trouble]:
    """A pod that installs packages before it works."""
    for task in package.pods:
        if any("pip install" in text for text in task.container.get("command", [])):
            yield task.path, "the pod runs pip install when it starts"


RULES = (
    Rule(
        name="module-name",
        fact="KFP ships the function's source alone: constants and imports of its module don't exist when it runs",
        remedy="import or define it inside the body, or pass it as a parameter",
        check=module_name,
    ),
    Rule(
        name="failing-report",
        fact="a failed task loses all outputs but its logs",
        remedy="write the report in one task and fail in the next",
        check=failing_report,
    ),
    Rule(
        name="unchecked-metric",
        fact="a NaN in Metrics escapes KFP's error handling and skips the exit handler",
        remedy="log finite values only (math.isfinite)",
        check=unchecked_metric,
    ),
    Rule(
        name="output-uri",
        fact="an output URI outside the run's root fails the task",
        remedy="keep KFP's URI and write where the data lies into the metadata",
        check=output_uri,
    ),
    Rule(
        name="one-final-state",
        fact="success is COMPLETE on the backend and SUCCEEDED locally",
        remedy="accept both",
        check=one_final_state,
    ),
    Rule(
        name="dropped-field",
        fact="the API server drops a field that the CRD doesn't know, silently",
        remedy="use runtimePatches or the ClusterTrainingRuntime, and create with strict field validation",
        check=dropped_field,
    ),
    Rule(
        name="install-at-start",
        fact="every start then depends on a package index and may get other versions",
        remedy="install_kfp_package=False, no packages_to_install, everything in the image",
        check=installs_at_start,
    ),
)
