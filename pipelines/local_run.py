"""Runs the compiled pipeline on this machine with KFP's local runner; a run folder holds all that a resume needs."""

import builtins
import contextlib
import logging
import os
import re
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import yaml
from rich.console import Console

from data.errors import AerieError
from data.files import exists, is_s3, join, read_bytes, write_bytes
from model.recipe import Recipe, load_recipe
from pipelines.console import RunConsole, StepResult
from pipelines.docker_run import docker_runner, lend
from pipelines.recipe_places import local_places, make_absolute

RUN_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
TAKEN_NAMES = {"registry", "recipes", "submissions"}  # folders beside the runs
RECIPE_NAME = "recipe.yaml"
ROOT_NAME, WORKSPACE_NAME = "kfp", "workspace"  # folders that KFP and its tasks share


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A prepared run: its recipe lies in its own folder, so that a resume can't pick up an edited one."""

    storage_uri: str
    run_id: str
    recipe: Recipe

    @property
    def folder(self) -> str:
        """STORAGE/RUN_ID."""
        return join(self.storage_uri, self.run_id)

    @property
    def recipe_uri(self) -> str:
        """The run's own copy of the recipe."""
        return join(self.folder, RECIPE_NAME)

    def arguments(self) -> dict[str, Any]:
        """The pipeline parameters."""
        return {
            "recipe_uri": self.recipe_uri,
            "recipe_sha256": self.recipe.sha256,
            "storage_uri": self.storage_uri,
            "run_id": self.run_id,
            "sources": [use.name for use in self.recipe.data.sources],
            "training_runtime": "",
        }


class StepFailedError(Exception):
    """A step ended with an unexpected error (not a user's mistake); the message has the last lines of its output."""


def storage_root(storage: str) -> str:
    """An absolute local folder (steps run with their own working folder) or the s3:// prefix as it is."""
    return storage.rstrip("/") if is_s3(storage) else str(Path(storage).expanduser().resolve())


def new_run(recipe_path: str, storage: str, name: str) -> Run:
    """Validate a recipe and copy it into a new run folder; what it says of benchmarks' files must be true as well."""
    from model.evaluation.public_benchmarks import public_benchmarks  # a second to import

    recipe = load_recipe(recipe_path)
    public_benchmarks(recipe, recipe_path)
    _check_keys(recipe)
    run_id = name or f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    if not RUN_NAME.match(run_id):
        raise AerieError(f"run name {run_id!r} may hold letters, digits, '.', '_' and '-' only")
    if run_id in TAKEN_NAMES:
        raise AerieError(f"run name {run_id!r} is a folder that all runs share; choose another --name")
    root = storage_root(storage)
    copy = join(root, run_id, RECIPE_NAME)
    if exists(copy):
        raise AerieError(
            f"run {run_id!r} exists in {root}; continue it with --resume {run_id} or choose another --name"
        )
    write_bytes(copy, _with_absolute_paths(read_bytes(recipe_path), recipe_path))
    return Run(storage_uri=root, run_id=run_id, recipe=load_recipe(copy))


def _check_keys(recipe: Recipe) -> None:
    """A step would find a missing key only when its turn comes, after all training."""
    for name, place in recipe.endpoint_keys().items():
        if not os.environ.get(name, "").strip():
            raise AerieError(
                f"{place} of the recipe wants a key in the environment variable {name}; set it and run again"
            )


def find_run(run: str, storage: str) -> Run:
    """An existing run by name or by the path of its folder."""
    by_path = "/" in run
    root, _, run_id = storage_root(run).rpartition("/") if by_path else (storage_root(storage), "", run)
    copy = join(root, run_id, RECIPE_NAME)
    if not exists(copy):
        raise AerieError(f"no run {run_id!r} in {root} (no {copy}); its folder's name is what --resume takes")
    return Run(storage_uri=root, run_id=run_id, recipe=load_recipe(copy))


def _with_absolute_paths(payload: bytes, recipe_path: str) -> bytes:
    """The recipe as it is where all its paths are absolute, so that its comments stay; else written anew."""
    document = yaml.safe_load(payload)
    if not make_absolute(document, recipe_path):
        return payload
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode()


def count_steps(package: Path, arguments: dict[str, Any]) -> int:
    """How many steps an execution of a compiled pipeline shows: once per item of a loop, without the exit task."""
    spec = next(yaml.safe_load_all(package.read_text()))

    def tasks_in(dag: dict[str, Any]) -> int:
        total = 0
        for task in dag["tasks"].values():
            if "triggerPolicy" in task:
                continue
            inner = spec["components"][task["componentRef"]["name"]].get("dag")
            items = task.get("parameterIterator", {}).get("items", {}).get("inputParameter", "")
            repeats = len(arguments[items.removeprefix("pipelinechannel--")]) if items else 1
            total += repeats * (tasks_in(inner) if inner else 1)
        return total

    return tasks_in(spec["root"]["dag"])


def execute(run: Run, package: Path, console: Console, runner: str = "subprocess") -> list[StepResult]:
    """Run a compiled pipeline; raises `AerieError` for a user's mistake, `StepFailedError` for anything else.

    `runner` is `subprocess` or `docker`.
    """
    from kfp import components, local

    docker = runner == "docker"
    steps = _in_containers(run) if docker else local.SubprocessRunner(use_venv=False)
    with _scratch(lent=docker) as scratch, _log(run, scratch) as (log, log_uri):
        display = RunConsole(count_steps(package, run.arguments()), log, console)
        local.init(
            steps,
            pipeline_root=str(scratch / ROOT_NAME),
            workspace_root=str(scratch / WORKSPACE_NAME),
            raise_on_error=True,
        )
        pipeline = components.load_component_from_text(_without_retries(package))
        try:
            with _quiet_kfp(display):
                pipeline(**run.arguments())
        except RuntimeError:
            raise _explained(display, log_uri) from None
        if len(display.results) < display.total:
            # KFP's DockerRunner takes a container that is gone before it asked for a successful one.
            raise _explained(display, log_uri)
    return display.results


def _in_containers(run: Run) -> Any:
    """The containers' runner, with what the run's recipe lets them see."""
    read, written = local_places(yaml.safe_load(read_bytes(run.recipe_uri)))
    return docker_runner(run.folder, read, written, list(run.recipe.endpoint_keys()))


def _without_retries(package: Path) -> str:
    """The compiled pipeline as it runs here: retries wait out a cluster's accidents, a person waits for an answer."""
    spec, *platform = yaml.safe_load_all(package.read_text())
    for graph in (spec["root"], *spec["components"].values()):
        for task in graph.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
    return yaml.safe_dump_all([spec, *platform], sort_keys=False)


@contextlib.contextmanager
def _scratch(lent: bool) -> Iterator[Path]:
    """A temporary folder for KFP and its children, deleted afterwards; `lent`: containers write there too."""
    with tempfile.TemporaryDirectory(prefix="aerie-", ignore_cleanup_errors=lent) as folder:
        before = os.environ.get("TMPDIR")
        # KFP leaves a folder per task in the temporary folder.
        os.environ["TMPDIR"] = folder
        try:
            with lend(folder, (ROOT_NAME, WORKSPACE_NAME)) if lent else contextlib.nullcontext():
                yield Path(folder)
        finally:
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before


@contextlib.contextmanager
def _log(run: Run, scratch: Path) -> Iterator[tuple[TextIO, str]]:
    """The log file of this execution, and where it lies afterwards: a store gets it at the end, however that comes."""
    uri = join(run.folder, "logs", f"{time.strftime('%Y%m%d-%H%M%S')}.log")
    path = scratch / "log" if is_s3(uri) else Path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("a") as log:
            yield log, uri
    finally:
        if is_s3(uri):
            with contextlib.suppress(AerieError):  # a store that is gone must not hide why the run ended
                write_bytes(uri, path.read_bytes())


@contextlib.contextmanager
def _quiet_kfp(display: RunConsole) -> Iterator[None]:
    """All that KFP prints, logs or warns about goes to the display, which sorts it."""
    root = logging.getLogger()
    handlers, level, original_print = root.handlers[:], root.level, builtins.print
    with contextlib.redirect_stdout(display), contextlib.redirect_stderr(display), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # placements have no effect here, and images aren't used
        try:
            yield
        finally:
            # KFP swaps these from several threads at once and may leave its own behind.
            root.handlers[:], root.level, builtins.print = handlers, level, original_print


def _explained(display: RunConsole, log: str) -> Exception:
    """The user's mistake that a step reported, or its last lines when it broke otherwise."""
    if display.mistakes:
        return AerieError("\n".join(f"{step}: {message}" for step, message in display.mistakes.items()))
    broken = f"step {', '.join(display.running)}" if display.running else "a step"
    lines = "\n".join(f"  | {line}" for line in display.tail)
    return StepFailedError(f"{broken} broke; its last lines:\n{lines}\nThe full log is {log}")
