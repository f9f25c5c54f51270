"""The compiled pipelines: byte-stable, few parameters, placed, and free of the constructs that KFP gets wrong."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.compiling import PIPELINES, compile_pipelines

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    return {path.stem: path for path in compile_pipelines(folder)}


def documents(path):
    spec, platform = yaml.safe_load_all(path.read_text())
    return spec, platform


def tasks(spec):
    """(name, task, component) of every task of every graph."""
    for graph in [spec["root"], *(c for c in spec["components"].values() if "dag" in c)]:
        for name, task in graph["dag"]["tasks"].items():
            yield name, task, spec["components"][task["componentRef"]["name"]]


def test_another_process_compiles_the_same_bytes(compiled, tmp_path):
    code = "import sys, pathlib; from pipelines.compiling import compile_pipelines as c; c(pathlib.Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONHASHSEED": "3"}
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, env=environment, check=True)
    for name in PIPELINES:
        assert (tmp_path / f"{name}.yaml").read_bytes() == compiled[name].read_bytes()


@pytest.mark.parametrize("name", PIPELINES)
def test_at_most_eight_parameters_and_none_optional(compiled, name):
    parameters = documents(compiled[name])[0]["root"]["inputDefinitions"]["parameters"]
    assert len(parameters) <= 8
    assert not any(entry.get("isOptional") for entry in parameters.values())


def test_the_whole_recipe_is_there_in_order(compiled):
    spec, _ = documents(compiled["end_to_end"])
    names = {name for name, _, _ in tasks(spec)}
    assert names == {
        *("aerie-curate", "aerie-post-train", "report", "for-loop-1", "sourcing", "validation", "enforcement"),
        *("embedding", "gate", "filtering", "selection", "augmentation", "formatting", "tokenizer"),
        *("packing", "packing-2", "packing-3", "stage-1", "stage-1-5", "stage-2"),
        *("evaluation", "evaluation-2", "evaluation-3"),
    }
    curate = spec["components"]["comp-aerie-curate"]["dag"]["tasks"]
    for later, earlier in {"validation": "for-loop-1", "enforcement": "validation", "embedding": "enforcement",
                           "gate": "embedding", "formatting": "augmentation"}.items():  # fmt: skip
        assert earlier in curate[later]["dependentTasks"]
    post_train = spec["components"]["comp-aerie-post-train"]["dag"]["tasks"]
    assert "stage-1" in post_train["stage-1-5"]["dependentTasks"]
    assert "stage-1-5" in post_train["stage-2"]["dependentTasks"]


@pytest.mark.parametrize("name", PIPELINES)
def test_no_condition_and_no_placeholder_inside_a_longer_string(compiled, name):
    text = compiled[name].read_text()
    assert "double(" not in text
    assert "condition:" not in text
    placeholders = re.findall(r"^.*\{\{.*$", text, flags=re.MULTILINE)
    assert {line.strip() for line in placeholders} <= {"- '{{$}}'"}


def test_every_task_is_placed(compiled):
    spec, platform = documents(compiled["end_to_end"])
    extras = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name, task, component in tasks(spec):
        if "executorLabel" not in component:
            continue
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        assert "cachingOptions" in task, name
        assert {"resourceCpuRequest", "resourceMemoryLimit"} <= set(container["resources"]), name
        assert extras[component["executorLabel"]]["podMetadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "aerie"}
        if "accelerator" in container["resources"]:
            assert extras[component["executorLabel"]]["tolerations"], name


def test_verdicts_and_side_effects_are_never_cached(compiled):
    spec, _ = documents(compiled["end_to_end"])
    cached = {name for name, task, _ in tasks(spec) if task.get("cachingOptions", {}).get("enableCache")}
    assert not cached & {"enforcement", "stage-1", "stage-1-5", "stage-2", "report"}
    assert {"sourcing", "embedding", "filtering"} <= cached


def test_no_component_installs_packages(compiled):
    assert "pip install" not in compiled["end_to_end"].read_text()
