"""Rules about conditions, loops and joins of branches."""

import json
import re
from collections.abc import Iterator

from pipelines.lint_package import Package, Task
from pipelines.lint_rule import Rule, Trouble

REFERENCE = r"inputs\.parameter_values\['[^']+'\]"
LITERAL = r"'[^'\"\\]*'"
TERM = rf"(?:(?:int|double)\()*(?:{REFERENCE}|{LITERAL}|-?[\d.]+(?:e[+-]?\d+)?|true|false)\)*"
COMPARISON = re.compile(rf"{TERM} (?:==|!=|<=|>=|<|>) {TERM}")
MOST_ITEMS = 500  # each costs a driver and an executor pod, and about 1 KB of the workflow's status


def conditions(package: Package) -> Iterator[Task]:
    """The tasks (branches) that run under a condition."""
    return (task for task in package.tasks if task.condition)


def loops(package: Package) -> Iterator[Task]:
    """The loops over parameters."""
    return (task for task in package.tasks if "parameterIterator" in task.spec)


def promoted_to_double(package: Package) -> Iterator[Trouble]:
    """A float compared with an int."""
    for task in conditions(package):
        if "double(" in re.sub(LITERAL, "", task.condition):
            yield task.path, f"condition {task.condition} compares a float with an int"


def compared_with_false(package: Package) -> Iterator[Trouble]:
    """`bool == 1` compiles to `== false`; so does `bool == False`, and the IR can't tell them apart."""
    for task in conditions(package):
        if re.search(r"[=!]= false\b|\bfalse [=!]=", re.sub(LITERAL, "", task.condition)):
            yield task.path, f"condition {task.condition} compares with false, which is also what `== 1` compiles to"


def quoted_literal(package: Package) -> Iterator[Trouble]:
    """What is left of a condition without its well-formed comparisons must be logic only."""
    for task in conditions(package):
        if re.search(r"[^!&|() ]", COMPARISON.sub("", task.condition)):
            yield task.path, f"condition {task.condition} holds a quote or backslash inside a compared string"


def items_of(loop: Task, package: Package) -> tuple[str, object]:
    """A loop's list: ("constant", list), ("default", list), ("output", task) or ("input", name)."""
    items = loop.spec["parameterIterator"]["items"]
    if "raw" in items:
        return "constant", json.loads(items["raw"])
    kind, value = loop.origin(items["inputParameter"])
    if kind == "input" and "defaultValue" in package.inputs.get(str(value), {}):
        return "default", package.inputs[str(value)]["defaultValue"]
    return kind, value


def condition_in_task_loop(package: Package) -> Iterator[Trouble]:
    """A condition below a loop whose list another task makes."""
    for task in conditions(package):
        for above in task.ancestors:
            if "parameterIterator" in above.spec and items_of(above, package)[0] == "output":
                yield task.path, f"a condition inside the loop {above.name} over a task's output"


def stringly_items(package: Package) -> Iterator[Trouble]:
    """A list without item type: its items are typed as strings, though numbers or anything may come."""
    for loop in loops(package):
        item = loop.spec["parameterIterator"]["itemInput"]
        if loop.inputs.get(item, {}).get("parameterType") != "STRING":
            continue
        kind, value = items_of(loop, package)
        numbers = isinstance(value, list) and any(not isinstance(entry, str) for entry in value)
        if numbers or (kind == "output" and _returns_bare_list(package, str(value))):
            yield loop.path, "the loop's list has no item type, so every item becomes a string"


def _returns_bare_list(package: Package, producer: str) -> bool:
    sources = (task.source for task in package.tasks if task.name == producer)
    returns = [getattr(source.returns, "id", "") for source in sources if source]
    return any(name in {"list", "List"} for name in returns)


def empty_collected(package: Package) -> Iterator[Trouble]:
    """A loop over nothing whose outputs another task collects."""
    for loop in loops(package):
        if items_of(loop, package)[1] == [] and loop.component.get("outputDefinitions"):
            yield loop.path, "outputs are collected from a loop whose list is empty"


def one_of_artifacts(package: Package) -> Iterator[Trouble]:
    """A branch group that hands on one of several artifacts."""
    for task in package.tasks:
        outputs = task.component.get("dag", {}).get("outputs", {}).get("artifacts", {})
        for entry in outputs.values():
            if len(entry.get("artifactSelectors", [])) > 1:
                yield task.path, "OneOf joins artifacts of different branches"


def artifact_loop(package: Package) -> Iterator[Trouble]:
    """ParallelFor over artifacts."""
    for task in package.tasks:
        if "artifactIterator" in task.spec:
            yield task.path, "the loop runs over artifacts"


def wide_loop(package: Package) -> Iterator[Trouble]:
    """More items than a workflow can hold."""
    for loop in loops(package):
        value = items_of(loop, package)[1]
        if isinstance(value, list) and len(value) > MOST_ITEMS:
            yield loop.path, f"the loop has {len(value)} items, each with a driver pod and an executor pod"


RULES = (
    Rule(
        name="float-comparison",
        fact="compiles to double(...); KFP's local runner then skips both If and Else and reports success",
        remedy="compare a float with a float literal (0.0), or raise in a gate task",
        check=promoted_to_double,
    ),
    Rule(
        name="bool-comparison",
        fact="bool == 1 compiles to `== false`: inverted",
        remedy="write `== True` and put the other case into Else",
        check=compared_with_false,
    ),
    Rule(
        name="quoted-literal",
        fact="the compared string is pasted between single quotes without escaping, so the condition doesn't parse",
        remedy="compare plain words",
        check=quoted_literal,
    ),
    Rule(
        name="condition-in-task-loop",
        fact="KFP's local runner takes it for false, or fails, without a word",
        remedy="loop over a pipeline parameter, or decide inside the component",
        check=condition_in_task_loop,
    ),
    Rule(
        name="untyped-items",
        fact="items of an untyped list become strings, numbers arrive as '1.0'",
        remedy="annotate List[str] or List[int]",
        check=stringly_items,
    ),
    Rule(
        name="collected-empty",
        fact="Collected over an empty list crashes",
        remedy="give the list no default, or a default with at least one item",
        check=empty_collected,
    ),
    Rule(
        name="one-of-artifacts",
        fact="OneOf of artifacts crashes in KFP's local runner",
        remedy="let the branches return string URIs",
        check=one_of_artifacts,
    ),
    Rule(
        name="artifact-loop",
        fact="ParallelFor over artifacts doesn't work on the backend",
        remedy="loop over List[str] of URIs or names",
        check=artifact_loop,
    ),
    Rule(
        name="wide-loop",
        fact="each item costs two pods and a share of the workflow's 1.5 MiB in etcd",
        remedy=f"shard coarsely, at most {MOST_ITEMS} items",
        check=wide_loop,
    ),
)
