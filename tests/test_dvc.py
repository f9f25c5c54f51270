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


def test_sources_are_the_recipes():
    names = [source["name"] for source in RECIPE["data"]["sources"]]
    assert PIPELINE["sourcing"]["foreach"] == names
    assert [f"artifacts/dvc/sourcing/{name}" for name in names] == PIPELINE["validation"]["deps"][1:]


@pytest.mark.parametrize("step", STEPS)
def test_a_stage_depends_on_what_its_step_reads(step):
    stage = PIPELINE[step]
    assert stage["cmd"] == f"python -m data {step}"
    assert stage["outs"] == [f"artifacts/dvc/{step}"]
    assert [f"artifacts/dvc/{part}" for part in STEPS[step][1]] == stage["deps"][1:]
    assert (ROOT / stage["deps"][0]).exists()


def test_watched_keys_exist_in_the_recipe():
    for stage in (*PIPELINE.values(), PIPELINE["sourcing"]["do"]):
        for params in stage.get("params", []):
            ((path, keys),) = params.items()
            assert (ROOT / path).exists()
            for key in keys:
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
