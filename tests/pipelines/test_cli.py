"""The command line: help that explains, clear errors, exit codes."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.cli import app

MINI = Path(__file__).resolve().parents[2] / "pipelines/recipes/mini.yaml"
runner = CliRunner()


def call(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("command", "promise"),
    [("run", "--resume"), ("compile", "byte-stable"), ("plan", "before anything runs"), ("report", "HTML report")],
)
def test_each_command_explains_itself(command, promise):
    result = call(command, "--help")
    assert result.exit_code == 0
    assert promise in result.output


def changed(tmp_path, change):
    document = yaml.safe_load(MINI.read_text())
    change(document)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


MISTAKES = {
    "unknown key": (lambda d: d["data"].update(gaet={}), "data.gaet"),
    "impossible value": (lambda d: d["stages"]["stage_1"].update(learning_rate=-1), "stages.stage_1.learning_rate"),
    "missing part": (lambda d: d.pop("model"), "model: Field required"),
    "missing stage": (lambda d: d["stages"].pop("stage_1_5"), "stage_1_5"),
    "odd geometry": (lambda d: d["model"]["tiling"].update(tile_size=65), "tile_size"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_bad_recipe_is_one_message_that_names_the_key(tmp_path, mistake, command):
    change, named = MISTAKES[mistake]
    recipe = changed(tmp_path, change)
    arguments = (
        ["run", "--storage", tmp_path / "artifacts", "--recipe", recipe] if command == "run" else [command, recipe]
    )
    result = call(*arguments)
    assert result.exit_code == 2
    assert named in result.output
    assert str(recipe) in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "artifacts").exists(), "nothing is left of a run that never began"


def test_a_missing_recipe_broken_yaml_and_an_unknown_run_are_clear(tmp_path):
    (tmp_path / "broken.yaml").write_text("a: [1")
    for arguments, message in (
        (["run", "--recipe", tmp_path / "none.yaml"], "file not found"),
        (["run", "--recipe", tmp_path / "broken.yaml"], "not valid YAML"),
        (["run", "--resume", "nothing", "--storage", tmp_path], "no run 'nothing'"),
        (["report", "nothing", "--storage", tmp_path], "no run 'nothing'"),
        (["run", "--resume", "a", "--name", "b"], "give one of them"),
    ):
        result = call(*arguments)
        assert (result.exit_code, message in result.output) == (2, True), result.output


def test_compile_writes_the_pipelines(tmp_path):
    result = call("compile", "--out", tmp_path)
    assert result.exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curate.yaml", "end_to_end.yaml", "post_train.yaml"]
