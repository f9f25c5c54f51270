"""Rules that every component file keeps: thin, self-contained bodies, signatures that KFP understands."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "components"
NOT_COMPONENTS = {"__init__.py", "artifacts.py", "door.py", "images.py", "step_errors.py"}
FILES = [
    path
    for path in sorted(ROOT.glob("*.py"))
    if path.name not in NOT_COMPONENTS and not path.name.startswith("trainjob")
]
EXIT_HANDLERS = {"cleanup"}  # get the run's final state, hand nothing over and call no step
ALLOWED_PLAIN = {"str", "List[str]"}


def decorated(path):
    return [
        node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and any("component" in ast.unparse(d) for d in node.decorator_list)
    ]


FUNCTIONS = [(path, node) for path in FILES for node in decorated(path)]
IDS = [node.name for _, node in FUNCTIONS]


def test_every_file_defines_the_component_it_is_named_after():
    for path in FILES:
        assert path.stem in [node.name for node in decorated(path)]


@pytest.mark.parametrize(("path", "node"), FUNCTIONS, ids=IDS)
def test_bodies_are_doors(path, node):
    assert len(node.body) <= 12, "logic belongs into data/ or model/"
    assert ast.get_docstring(node)


@pytest.mark.parametrize(("path", "node"), FUNCTIONS, ids=IDS)
def test_the_project_is_installed_in_the_image_not_at_start(path, node):
    (decorator,) = node.decorator_list
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in decorator.keywords}
    assert given["install_kfp_package"] == "False"
    assert given["base_image"] in {"DATA_IMAGE", "EVAL_IMAGE", "STAGE_IMAGE"}
    assert set(given) == {"base_image", "install_kfp_package"}


@pytest.mark.parametrize(("path", "node"), FUNCTIONS, ids=IDS)
def test_signatures_hold_strings_lists_of_strings_and_artifacts(path, node):
    for argument in node.args.args:
        kind = ast.unparse(argument.annotation)
        allowed = kind in ALLOWED_PLAIN or kind.startswith("dsl.Output[")
        final = node.name in EXIT_HANDLERS and kind == "dsl.PipelineTaskFinalStatus"
        assert allowed or final, f"{argument.arg}: {kind}"
    assert not node.args.defaults
    assert node.name in EXIT_HANDLERS if node.returns is None else ast.unparse(node.returns) == "str"


@pytest.mark.parametrize(("path", "node"), FUNCTIONS, ids=IDS)
def test_bodies_see_no_module_level_name(path, node):
    """KFP ships the function's source alone, so a constant of the module would be unknown when it runs."""
    module_names = {
        name
        for statement in ast.parse(path.read_text()).body
        for name in (
            [alias.asname or alias.name for alias in statement.names]
            if isinstance(statement, ast.Import | ast.ImportFrom)
            else [target.id for target in getattr(statement, "targets", []) if isinstance(target, ast.Name)]
        )
    } - {"dsl", "List"}
    used = {n.id for statement in node.body for n in ast.walk(statement) if isinstance(n, ast.Name)}
    assert not used & module_names


def _library_calls(node):
    """(module, function, number of positional arguments) of the calls into data/ and model/."""
    origins = {
        alias.name: statement.module
        for statement in ast.walk(node)
        if isinstance(statement, ast.ImportFrom) and statement.module.split(".")[0] in {"data", "model"}
        for alias in statement.names
    }
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in origins:
            yield origins[call.func.id], call.func.id, len(call.args)


@pytest.mark.parametrize(("path", "node"), FUNCTIONS, ids=IDS)
def test_library_functions_take_what_components_pass(path, node):
    calls = [call for call in _library_calls(node) if call[1] != "join"]
    assert calls or node.name in EXIT_HANDLERS, "a component calls its step"
    for module, name, given in calls:
        signature = inspect.signature(getattr(importlib.import_module(module), name))
        signature.bind(*range(given))
