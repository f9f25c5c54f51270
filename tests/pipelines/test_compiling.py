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
        *("exit-handler-1", "cleanup", "judging", "promotion", "report", "acceptance"),
        *("aerie-curate", "aerie-stages", "for-loop-1", "sourcing", "validation", "enforcement"),
        *("embedding", "gate", "filtering", "selection", "augmentation", "formatting", "tokenizer"),
        *("packing", "packing-2", "packing-3", "stage-1", "stage-1-5", "stage-2"),
        *("evaluation", "evaluation-2", "evaluation-3"),
    }
    curate = spec["components"]["comp-aerie-curate"]["dag"]["tasks"]
    for later, earlier in {"validation": "for-loop-1", "enforcement": "validation", "embedding": "enforcement",
                           "gate": "embedding", "formatting": "augmentation"}.items():  # fmt: skip
        assert earlier in curate[later]["dependentTasks"]
    stages = spec["components"]["comp-aerie-stages"]["dag"]["tasks"]
    assert "stage-1" in stages["stage-1-5"]["dependentTasks"]
    assert "stage-1-5" in stages["stage-2"]["dependentTasks"]


def test_the_gate_fails_after_its_report_and_the_page_are_written(compiled):
    spec, _ = documents(compiled["end_to_end"])
    run = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert set(run["acceptance"]["dependentTasks"]) == {"aerie-stages", "report"}
    assert (
        run["report"]["inputs"]["parameters"]["promotion_sha256"]["taskOutputParameter"]["producerTask"]
        == "aerie-stages"
    )
    stages = spec["components"]["comp-aerie-stages"]["dag"]["tasks"]
    assert {"stage-2", "evaluation-3", "judging"} <= set(stages["promotion"]["dependentTasks"])
    model = spec["components"]["comp-acceptance"]["outputDefinitions"]["artifacts"]["model"]
    assert model["artifactType"]["schemaTitle"] == "system.Model"
    alone = documents(compiled["post_train"])[0]["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert "acceptance" in alone


@pytest.mark.parametrize("name", PIPELINES)
def test_no_condition_and_no_placeholder_inside_a_longer_string(compiled, name):
    text = compiled[name].read_text()
    assert "double(" not in text
    assert "condition:" not in text
    placeholders = re.findall(r"^.*\{\{.*$", text, flags=re.MULTILINE)
    assert {line.strip() for line in placeholders} <= {"- '{{$}}'", "constant: '{{$.pipeline_job_uuid}}'"}


def test_every_task_is_placed(compiled):
    spec, platform = documents(compiled["end_to_end"])
    extras = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name, task, component in tasks(spec):
        if "executorLabel" not in component:
            continue
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        assert "cachingOptions" in task, name
        assert {"resourceCpuRequest", "resourceMemoryLimit"} <= set(container["resources"]), name
        queue = {"kueue.x-k8s.io/queue-name": "aerie", "kueue.x-k8s.io/priority-class": "aerie-data"}
        assert queue.items() <= extras[component["executorLabel"]]["podMetadata"]["labels"].items()
        if "accelerator" in container["resources"]:
            assert extras[component["executorLabel"]]["tolerations"], name


def test_verdicts_and_side_effects_are_never_cached(compiled):
    spec, _ = documents(compiled["end_to_end"])
    cached = {name for name, task, _ in tasks(spec) if task.get("cachingOptions", {}).get("enableCache")}
    assert not cached & {
        "enforcement",
        "stage-1",
        "stage-1-5",
        "stage-2",
        "promotion",
        "report",
        "acceptance",
        "cleanup",
    }
    assert {"sourcing", "embedding", "filtering"} <= cached


@pytest.mark.parametrize("name", ["post_train", "end_to_end"])
def test_whatever_happens_the_run_is_cleaned_up(compiled, name):
    tasks_of_root = documents(compiled[name])[0]["root"]["dag"]["tasks"]
    assert set(tasks_of_root) == {"exit-handler-1", "cleanup"}
    assert tasks_of_root["cleanup"]["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}


def test_data_steps_are_retried_with_back_off_and_launches_and_verdicts_are_not(compiled):
    retried = {
        name: task["retryPolicy"]
        for name, task, _ in tasks(documents(compiled["end_to_end"])[0])
        if "retryPolicy" in task
    }
    assert set(retried) == {
        *("sourcing", "validation", "embedding", "gate", "filtering", "selection", "augmentation", "formatting"),
        *("tokenizer", "packing", "packing-2", "packing-3", "judging"),
    }
    for policy in retried.values():
        assert policy == {
            "maxRetryCount": 2, "backoffDuration": "60s", "backoffFactor": 2.0, "backoffMaxDuration": "3600s"
        }  # fmt: skip


@pytest.mark.parametrize("name", PIPELINES)
def test_the_ui_shows_titles_and_explains_every_parameter(compiled, name):
    spec, platform = documents(compiled[name])
    assert spec["pipelineInfo"]["displayName"].startswith("Aerie: ")
    assert spec["pipelineInfo"]["description"]
    for parameter, entry in spec["root"]["inputDefinitions"]["parameters"].items():
        assert entry["description"], parameter
    titles = [task["taskInfo"]["name"] for _, task, _ in tasks(spec)]
    assert not [title for title in titles if "_" in title or title.startswith("aerie-")]
    kept = platform["platforms"]["kubernetes"]["pipelineConfig"]
    assert kept == {"resourceTtlOnSuccess": 7 * 86400, "resourceTtlOnFailure": 30 * 86400}


def test_reports_ledger_curves_and_scores_are_artifacts_that_the_ui_shows(compiled):
    spec, _ = documents(compiled["end_to_end"])
    shown = {
        (name, artifact): entry["artifactType"]["schemaTitle"].removeprefix("system.")
        for name, _, component in tasks(spec)
        for artifact, entry in component.get("outputDefinitions", {}).get("artifacts", {}).items()
    }
    pages = {key for key, kind in shown.items() if kind in {"HTML", "Markdown"}}
    assert pages == {
        *((step, "docs") for step in ("validation", "filtering", "selection")),
        *(("formatting", "ledger"), ("judging", "table"), ("promotion", "table"), ("report", "page")),
        *((stage, "curves") for stage in ("stage-1", "stage-1-5", "stage-2")),
        *((f"evaluation{part}", "table") for part in ("", "-2", "-3")),
    }


def test_no_component_installs_packages(compiled):
    assert "pip install" not in compiled["end_to_end"].read_text()
