"""dvc.yaml agrees with the recipe, with the steps and with DVC."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from data.__main__ import STEPS, main

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
RECIPE = yaml.safe_load((ROOT / "pipelines/recipes/tiny.yaml").read_text())


def test_dvc_reads_every_stage():
    command = [sys.executable, "-m", "dvc", "stage", "list", "--name-only"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    sources = [f"sourcing@{source['name']}" for source in RECIPE["data"]["sources"]]
    assert sorted(result.stdout.split()) == sorted([*sources, "validation", *STEPS])


def test_dvc_yaml_is_what_the_code_and_the_recipe_make_of_it(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["stages"]) == 0
    assert capsys.readouterr().out == (ROOT / "dvc.yaml").read_text(), "run: python -m data stages > dvc.yaml"


def test_sources_are_the_recipes():
    names = [source["name"] for source in RECIPE["data"]["sources"]]
    assert PIPELINE["sourcing"]["foreach"] == names
    assert [f"artifacts/dvc/sourcing/{name}" for name in names] == folders(PIPELINE["validation"])


def folders(stage):
    return [dep for dep in stage["deps"] if dep.startswith("artifacts/")]


@pytest.mark.parametrize("step", STEPS)
def test_a_stage_depends_on_what_its_step_reads(step):
    stage = PIPELINE[step]
    assert stage["cmd"].startswith(f"python -m data {step} ")
    assert stage["outs"] == [f"artifacts/dvc/{step}"]
    assert folders(stage) == [f"artifacts/dvc/{part}" for part in STEPS[step][1]]
    assert all((ROOT / dep).exists() for dep in stage["deps"] if dep not in folders(stage))
    assert f"data.{step}" in watched(stage)  # each of these steps has a section of its own in the recipe


def watched(stage):
    ((keys,),) = [params.values() for params in stage["params"]]
    return keys


def test_what_python_loads_for_a_step_stands_in_its_stage():
    """The lists come from reading the source; here Python itself tells what it imported."""
    script = "import sys, importlib; importlib.import_module(sys.argv[1]); print(*sys.modules, sep=chr(10))"
    for step, module in (("selection", "data.curation.selection"), ("gate", "data.curation.gate")):
        command = [sys.executable, "-c", script, module]
        loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
        files = {name.replace(".", "/") + ".py" for name in loaded if name.startswith("data.")}
        assert {file for file in files if (ROOT / file).exists()} <= set(PIPELINE[step]["deps"])


def test_watched_keys_exist_in_the_recipe():
    for stage in (*list(PIPELINE.values())[1:], PIPELINE["sourcing"]["do"]):
        for key in watched(stage):
            found = RECIPE
            for part in key.split("."):
                found = found[part]


def test_the_door_reports_a_users_mistake_in_one_line(capsys, tmp_path):
    assert main(["sourcing", "--folder", str(tmp_path)]) == 2
    assert main(["gate", "--folder", str(tmp_path)]) == 2
    assert main(["gate", "--recipe", "missing.yaml"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "Error: sourcing needs --source NAME",
        f"Error: no manifest at {tmp_path}/validation/manifest.json: the step that writes it has not finished; "
        "run it first",
        "Error: file not found: missing.yaml",
    ]
