"""The rendered TrainJob: a table of inputs, and what the API server, JobSet, Kueue and Trainer demand of it."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
import yaml
from trainjob_cases import KFP_RUN, PLACEMENT, RUN, RUNTIME, STAGE, manifest_for, small_recipe, training_job

from components.trainjob import launcher_for
from components.trainjob_manifest import (
    LABEL_VALUE,
    LONGEST_NAME,
    SPEC_ANNOTATION,
    job_name,
    label_value,
    read_placement,
    render,
)
from components.trainjob_render import render_stage, render_yaml
from data.curation.given_gpus import GIVEN_GPUS
from data.errors import AerieError
from model.training.job import parse
from pipelines.placement import TRAINJOB

ROOT = Path(__file__).resolve().parents[2]
CHECKER = ROOT.parent / "shared/tools/check_custom_resources.py"


def rendered(nodes=1, processes=1, **changes):
    recipe = small_recipe(nodes=nodes, processes=processes)
    return render(training_job(), recipe, read_placement(json.dumps(PLACEMENT | changes)), RUNTIME, RUN, KFP_RUN)


CASES = {
    "one node, one GPU": ({}, 1, 1, {"cpu": "96", "memory": "960Gi", "nvidia.com/gpu": 1}, "96"),
    "32 nodes of 8 GPUs": (
        {"nodes": 32, "processes": 8},
        32,
        8,
        {"cpu": "96", "memory": "960Gi", "nvidia.com/gpu": 8},
        "12",
    ),
    "CPU only": ({"gpu_resource": "", "processes": 2, "cpu": "4"}, 1, 2, {"cpu": "4", "memory": "960Gi"}, "2"),
    "with RDMA": (
        {"devices": {"rdma/hca": 1}},
        1,
        1,
        {"cpu": "96", "memory": "960Gi", "nvidia.com/gpu": 1, "rdma/hca": 1},
        "96",
    ),
    "fractional CPU": ({"gpu_resource": "", "cpu": "500m"}, 1, 1, {"cpu": "500m", "memory": "960Gi"}, "1"),
}


@pytest.mark.parametrize(("changes", "nodes", "processes", "amounts", "threads"), CASES.values(), ids=CASES)
def test_sizes(changes, nodes, processes, amounts, threads):
    trainer = rendered(**changes)["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (nodes, processes)
    assert trainer["resourcesPerNode"] == {"limits": amounts, "requests": amounts}
    assert {"name": "OMP_NUM_THREADS", "value": threads} in trainer["env"]
    told = [item["value"] for item in trainer["env"] if item["name"] == GIVEN_GPUS]
    assert told == ([str(processes)] if "nvidia.com/gpu" in amounts else [])


def test_the_workers_read_their_job_from_the_command_line():
    trainer = rendered()["spec"]["trainer"]
    assert trainer["command"] == ["torchrun", "-m", "model.training"]
    job, watches_stdin = parse(trainer["args"])
    assert job == training_job()
    assert not watches_stdin  # a pod has no standard input: it would end at once


def test_labels_annotations_runtime_and_deadline():
    job = rendered()
    assert job["spec"]["runtimeRef"]["name"] == RUNTIME
    assert job["spec"]["activeDeadlineSeconds"] == PLACEMENT["deadline_seconds"]
    assert job["metadata"]["labels"] == {
        "app.kubernetes.io/part-of": "aerie",
        "app.kubernetes.io/managed-by": "aerie",
        "aerie.dev/run": RUN,
        "aerie.dev/kfp-run": KFP_RUN,
        "aerie.dev/stage": STAGE,
        "kueue.x-k8s.io/queue-name": "aerie",
        "kueue.x-k8s.io/priority-class": "aerie-training",
    }
    assert set(job["metadata"]["annotations"]) == {"aerie.dev/recipe-sha256", "aerie.dev/spec-sha256"}
    assert "namespace" not in job["metadata"]


def test_the_environment_holds_no_secret_and_nothing_of_torchrun():
    env = {item["name"]: item for item in rendered()["spec"]["trainer"]["env"]}
    assert not [name for name in env if name.startswith("PET_")]
    assert len(env) == len(rendered()["spec"]["trainer"]["env"])
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY"):
        assert set(env[name]) == {"name", "valueFrom"}
        assert "secretKeyRef" in env[name]["valueFrom"]
    assert env["WANDB_API_KEY"]["valueFrom"]["secretKeyRef"]["optional"] is True


def test_equal_inputs_give_equal_jobs_and_another_input_another_hash():
    def mark(job):
        return job["metadata"]["annotations"][SPEC_ANNOTATION]

    assert rendered() == rendered()
    assert manifest_for(kfp_run="other")["spec"] == manifest_for()["spec"]
    assert len({mark(rendered(**change)) for change in ({}, {"cpu": "4"}, {"nodes": 2}, {"memory": "1Gi"})}) == 4


@pytest.mark.parametrize("run", ["a", "tiny-20260101-120000", "x" * 200, "Ünïcode run", "0b7c2f0e-…", "_._", "9"])
@pytest.mark.parametrize("stage", ["stage_1", "stage_1_5", "stage_2"])
def test_names_and_label_values_fit_whatever_the_run_is_called(run, stage):
    name = job_name(run, stage, "5e" * 32)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= LONGEST_NAME
    assert len(f"{name}-node-0-9999-abcde") <= 63
    assert LABEL_VALUE.fullmatch(label_value(run))
    assert len(label_value(run)) <= 63


def test_names_differ_by_run_stage_and_recipe():
    names = {job_name(run, stage, sha) for run in "ab" for stage in ("stage_1", "stage_2") for sha in ("1", "2")}
    assert len(names) == 8
    assert label_value("a b") != label_value("a-b") != label_value("a_ b")


def test_the_pipelines_own_placement_is_understood_and_another_is_refused():
    assert launcher_for(RUNTIME, TRAINJOB.text(), RUN, KFP_RUN) is not None
    assert launcher_for("", "", RUN, KFP_RUN) is None
    for text in ("", "[]", "{}", json.dumps(PLACEMENT | {"cpus": 1})):
        with pytest.raises(AerieError, match="placement must be a JSON object with the keys"):
            launcher_for(RUNTIME, text, RUN, KFP_RUN)


@pytest.mark.parametrize("stage", ["stage_1", "stage_1_5", "stage_2"])
def test_render_only_mode_reads_nothing_but_the_recipe(stage):
    recipe = str(ROOT / "pipelines/recipes/mini.yaml")
    manifest = render_stage(recipe, stage, "s3://aerie/runs", RUN, TRAINJOB.text(), RUNTIME)
    text = render_yaml(manifest)
    assert yaml.safe_load(text) == manifest
    job, _ = parse(manifest["spec"]["trainer"]["args"])
    assert job.out_uri == f"s3://aerie/runs/{RUN}/{stage}"
    assert job.packing_uri == f"s3://aerie/runs/{RUN}/packing/{stage}"
    assert bool(job.parent_uri) == (stage != "stage_1")
    assert job.fingerprint == ""
    assert "aerie.dev/kfp-run" not in manifest["metadata"]["labels"]


def test_render_only_mode_names_an_unknown_stage_and_missing_inputs(tmp_path):
    recipe = str(ROOT / "pipelines/recipes/mini.yaml")
    with pytest.raises(AerieError, match="unknown stage 'stage_3'"):
        render_stage(recipe, "stage_3", str(tmp_path), RUN, TRAINJOB.text(), RUNTIME)
    with pytest.raises(AerieError, match=r"no manifest at .*packing/stage_1"):
        render_stage(recipe, "stage_1", str(tmp_path), RUN, TRAINJOB.text(), RUNTIME, exact=True)


@pytest.fixture(scope="module")
def strict_errors(tmp_path_factory):
    """The errors that an API server with Trainer's CRD would raise for a manifest."""
    if not CHECKER.exists():
        pytest.skip("no CRD schemas here (shared/tools/check_custom_resources.py)")
    spec = importlib.util.spec_from_file_location("checker", CHECKER)
    checker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checker)
    name = "trainer.kubeflow.org_trainjobs.yaml"
    folder = tmp_path_factory.mktemp("crds")  # with this one only: reading all takes seconds
    (folder / name).symlink_to(checker.CRD_DIR / name)
    checker.CRD_DIR = folder
    schemas = checker.load_schemas()
    return lambda manifest: checker.errors_of(manifest, schemas)


@pytest.mark.parametrize("changes", [case[0] for case in CASES.values()], ids=CASES)
def test_the_strict_schema_of_trainer_accepts_it(strict_errors, changes):
    assert strict_errors(rendered(**changes)) == []
    spoiled = rendered(**changes)
    spoiled["spec"]["podSpecOverrides"] = []
    assert strict_errors(spoiled)
