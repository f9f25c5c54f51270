"""The architecture, checked: import direction, third-party doors, file and function length."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "data": set(),
    "model": {"data"},
    "components": {"data", "model"},
    "pipelines": {"components", "data", "model"},
}
CATALOGUE = {"data.registry.cards", "data.registry.catalogue", "data.registry.checking"}
PIPELINES_MAY_USE = {"model.recipe", "model.costs.cost", "data.errors", "data.recipe", "data.files", *CATALOGUE}
PIPELINES_MAY_USE |= {"model.config", "model.costs.gpus", "model.costs.sample_mix", "model.costs.stage_cost"}
PIPELINES_MAY_USE |= {"data.curation.quotas"}  # `aerie plan` counts with them
PIPELINES_MAY_USE |= {"data.curation.given_gpus"}  # what a pod is told of its GPUs
PIPELINES_MAY_USE |= {"model.evaluation.scoring", "model.evaluation.benchmark_run"}  # `aerie score`, `aerie evaluate`
PIPELINES_MAY_USE |= {"model.chat", "model.chat_files"}  # `aerie chat`
PIPELINES_MAY_USE |= {"model.exchange"}  # what `aerie import` and `aerie export` do
PIPELINES_MAY_USE |= {"model.evaluation.promotion.registry"}  # what `aerie models` shows
PIPELINES_MAY_USE |= {"data.create_once"}  # what the claims of `aerie submit` are made of
PIPELINES_MAY_USE |= {"data.versions", "data.snapshots", "data.version_diff"}  # what `aerie data` shows
PIPELINES_MAY_USE |= {
    f"model.evaluation.benchmarks.{part}" for part in ("cards", "places", "reading")
}  # `aerie benchmarks`
PIPELINES_MAY_USE |= {"model.evaluation.public_benchmarks"}  # `aerie benchmarks check`, and before a run begins
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 60
DOORS = {
    "kfp": ("components/", "pipelines/"),
    "kubernetes": ("components/trainjob.py",),
    "deepspeed": ("model/training/",),
    "torchao": ("model/training/float8.py",),
    "lmms_eval": ("model/lmms_eval/",),
}
TORCH_DOORS_IN_DATA = ("data/curation/",)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST):
    """(module, node) of every import, anywhere in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide the direction"
            yield node.module, node


def top_level_imports(tree: ast.Module):
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(node)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_go_one_way(path):
    room = relative(path).split("/")[0]
    for module, node in imports(ast.parse(path.read_text())):
        target = module.split(".")[0]
        if target in ROOMS and target != room:
            assert target in ROOMS[room], f"{relative(path)}:{node.lineno}: {room} may not import {module}"
        if room == "pipelines" and target in {"data", "model"}:
            assert module in PIPELINES_MAY_USE, (
                f"{relative(path)}:{node.lineno}: pipelines reach {module} by a component"
            )


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_third_parties_enter_by_their_door(path):
    for module, node in imports(ast.parse(path.read_text())):
        doors = DOORS.get(module.split(".")[0])
        assert doors is None or relative(path).startswith(doors), f"{relative(path)}:{node.lineno}: {module}"


@pytest.mark.parametrize("path", [p for p in FILES if relative(p).startswith("data/")], ids=relative)
def test_data_imports_torch_lazily_and_only_in_curation(path):
    tree = ast.parse(path.read_text())
    torch_like = {"torch", "timm", "transformers"}
    for module, node in imports(tree):
        if module.split(".")[0] in torch_like:
            assert relative(path).startswith(TORCH_DOORS_IN_DATA), f"{relative(path)}:{node.lineno}: {module}"
    for module, node in top_level_imports(tree):
        assert module.split(".")[0] not in torch_like, (
            f"{relative(path)}:{node.lineno}: import {module} inside the function"
        )


@pytest.mark.parametrize("path", [p for p in FILES if relative(p).startswith("components/")], ids=relative)
def test_component_files_import_our_rooms_inside_bodies_only(path):
    for module, node in top_level_imports(ast.parse(path.read_text())):
        assert module.split(".")[0] not in {"data", "model"}, f"{relative(path)}:{node.lineno}: {module} at top level"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_files_and_functions_stay_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_FILE_LINES, f"{relative(path)} is too long: split it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{relative(path)}:{node.lineno}: {node.name} has {lines} lines"


def test_top_level_folders_are_fixed():
    tracked = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    allowed = {"pipelines", "components", "containers", "model", "data", "infra", "tests", "shared"}
    generated = {"artifacts", "local_outputs", "build", "wandb", "aerie.egg-info"}
    assert tracked <= allowed | generated
    for room in ("containers", "infra"):
        assert not list((ROOT / room).rglob("*.py")), f"{room}/ holds no Python"


def test_tests_have_no_packages():
    assert not list((ROOT / "tests").rglob("__init__.py"))
