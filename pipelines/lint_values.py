"""Rules about parameters, constants and placeholders."""

import json
import re
from collections.abc import Iterator
from typing import Any

from pipelines.lint_package import Package
from pipelines.lint_rule import PIPELINE, Rule, Trouble

MAX_ARGUMENT_BYTES = 131_071  # Linux MAX_ARG_STRLEN (32 pages) less the closing zero byte
PLACEHOLDER = re.compile(r"\{\{\$[^}]*\}\}")
SECRET_NAME = re.compile(
    r"(^|[_.-])(password|passwd|secret|token|credentials?|(api|access|private|secret)[_-]?(access[_-]?)?key([_-]?id)?)$",
    re.IGNORECASE,
)
SECRET_VALUE = re.compile(
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bhf_[A-Za-z0-9]{30,}|\bgh[pousr]_[A-Za-z0-9]{30,}"
    r"|\bsk-[A-Za-z0-9_-]{20,}|\bxox[abp]-[A-Za-z0-9-]{10,}|\b[a-z][a-z0-9+]*://[^/\s:@'\"]+:[^/\s:@'\"]+@"
)


def constants(package: Package) -> Iterator[tuple[str, str, Any]]:
    """(place, parameter, value) of every literal: task arguments and defaults of pipeline and components."""
    for name, entry in package.inputs.items():
        if "defaultValue" in entry:
            yield PIPELINE, name, entry["defaultValue"]
    for task in package.tasks:
        for name, given in task.spec.get("inputs", {}).get("parameters", {}).items():
            if "runtimeValue" in given:
                yield task.path, name, given["runtimeValue"].get("constant")
        for name, entry in task.inputs.items():
            if "defaultValue" in entry:
                yield task.path, name, entry["defaultValue"]


def texts(value: Any) -> Iterator[str]:
    """All strings in a nested value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from texts(entry)


def _has_number(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(_has_number(entry) for entry in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def optional_without_default(package: Package) -> Iterator[Trouble]:
    """A pipeline parameter that may stay unset."""
    graphs = [(PIPELINE, package.inputs), *((task.path, task.inputs) for task in package.tasks if task.graph)]
    for place, inputs in graphs:
        for name, entry in inputs.items():
            if entry.get("isOptional") and "defaultValue" not in entry:
                yield place, f"parameter {name} is optional and has no default"


def numbers_in_containers(package: Package) -> Iterator[Trouble]:
    """A number inside a dict or list that is passed as one value."""
    for place, name, value in constants(package):
        if isinstance(value, dict | list) and _has_number(value):
            yield place, f"parameter {name} holds numbers inside a dict or list, they arrive as floats"
    for task in package.tasks:
        raw = task.spec.get("parameterIterator", {}).get("items", {}).get("raw", "[]")
        if any(isinstance(item, dict | list) and _has_number(item) for item in json.loads(raw)):
            yield task.path, "the loop's items hold numbers inside a dict or list, they arrive as floats"


def embedded_placeholder(package: Package) -> Iterator[Trouble]:
    """A placeholder with other text around it."""
    for place, name, value in constants(package):
        for text in texts(value):
            if PLACEHOLDER.search(text) and (not PLACEHOLDER.fullmatch(text) or not isinstance(value, str)):
                yield place, f"parameter {name} has a placeholder inside a longer value"


def long_argument(package: Package) -> Iterator[Trouble]:
    """A constant, a command or an embedded program longer than Linux takes as one argument."""
    for place, name, value in constants(package):
        size = max((len(text.encode()) for text in texts(value)), default=0)
        if size > MAX_ARGUMENT_BYTES:
            yield place, f"parameter {name} is {size:,} bytes long"
    for task in package.pods:
        for text in [*task.container.get("command", []), *task.container.get("args", [])]:
            if len(text.encode()) > MAX_ARGUMENT_BYTES:
                yield task.path, f"an argument of the command is {len(text.encode()):,} bytes long"


def planted_secret(package: Package) -> Iterator[Trouble]:
    """A literal that is a secret by its name or its look; names the place, never the value."""
    for place, name, value in constants(package):
        if isinstance(value, str) and value and not PLACEHOLDER.fullmatch(value) and SECRET_NAME.search(name):
            yield place, f"parameter {name} is named like a secret and has a literal value"
        elif any(SECRET_VALUE.search(text) for text in texts(value)):
            yield place, f"the value of parameter {name} looks like a secret"
    for task in package.pods:
        for variable in task.container.get("env", []):
            value = variable.get("value", "")
            if value and (SECRET_NAME.search(variable["name"]) or SECRET_VALUE.search(value)):
                yield task.path, f"environment variable {variable['name']} holds a secret"
        if any(SECRET_VALUE.search(text) for text in texts([task.container.get(k, []) for k in ("command", "args")])):
            yield task.path, "the command holds a text that looks like a secret"
        if any(SECRET_VALUE.search(text) for text in texts(task.extras)):
            yield task.path, "the pod's settings hold a text that looks like a secret"


RULES = (
    Rule(
        name="optional-unset",
        fact="an unset Optional pipeline parameter crashes",
        remedy="give it a default: '' or -1 as a sentinel",
        check=optional_without_default,
    ),
    Rule(
        name="number-in-container",
        fact="numbers inside a dict or list travel as JSON doubles",
        remedy="pass numbers as parameters of their own, or the container as JSON text",
        check=numbers_in_containers,
    ),
    Rule(
        name="embedded-placeholder",
        fact="resolved locally, left literal by the backend",
        remedy="pass the id as a parameter of its own and concatenate in code",
        check=embedded_placeholder,
    ),
    Rule(
        name="long-argument",
        fact=f"one argument string is limited to {MAX_ARGUMENT_BYTES:,} bytes, locally and on the backend",
        remedy="write it to a file and pass its URI and sha256",
        check=long_argument,
    ),
    Rule(
        name="secret",
        fact="compiled pipelines lie in Git, in the database and in the UI",
        remedy="refer to a Kubernetes Secret (kubernetes.use_secret_as_env)",
        check=planted_secret,
    ),
)
