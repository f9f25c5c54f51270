import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.trainjob_manifest import read_placement
from components.trainjob_secrets import SECRET_NAME
from data.curation.given_gpus import GIVEN_GPUS
from data.errors import AerieError
from model.evaluation.promotion import model_registry
from pipelines import docker_run, placement
from pipelines.compiling import compile_pipelines

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def executors(tmp_path_factory):
    """Executor containers and Kubernetes settings of the whole pipeline, by name."""
    folder = tmp_path_factory.mktemp("compiled")
    compile_pipelines(folder)
    return executors_of(folder)


def executors_of(folder):
    spec, platform = yaml.safe_load_all((folder / "end_to_end.yaml").read_text())
    return spec["deploymentSpec"]["executors"], platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def test_only_evaluation_holds_a_gpu_in_a_kfp_pod(executors):
    """The stages train in TrainJobs; a GPU held by the task that waits for one would be idle for days."""
    containers, settings = executors
    with_gpu = {n for n, e in containers.items() if "accelerator" in e["container"].get("resources", {})}
    assert {name.removeprefix("exec-").split("-")[0] for name in with_gpu} == {"evaluation"}
    assert {name for name, entry in settings.items() if "tolerations" in entry} == with_gpu


def pods_with_gpus(folder, gpu_tasks):
    """Resources of the pods that ask for a GPU, by task; the variable is read when the pipeline is imported."""
    command = [sys.executable, "-m", "pipelines.cli", "compile", "--check", "--out", str(folder)]
    environment = os.environ | {placement.GPU_TASKS_VARIABLE: gpu_tasks}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    containers, settings = executors_of(folder)
    asking = {}
    for name, executor in containers.items():
        resources = executor["container"]["resources"]
        assert ("accelerator" in resources) == ("tolerations" in settings[name]), name
        if "accelerator" in resources:
            asking[name.removeprefix("exec-").split("-")[0]] = resources
    return asking


def test_a_cluster_for_millions_of_samples_gives_curation_gpus(tmp_path):
    asking = pods_with_gpus(tmp_path, "embedding, gate,evaluation")
    assert set(asking) == {"embedding", "gate", "evaluation"}
    assert {found["accelerator"]["resourceCount"] for found in asking.values()} == {"1"}


def test_a_cluster_without_gpus_waits_for_none(tmp_path):
    assert pods_with_gpus(tmp_path, "") == {}


def test_a_task_that_has_no_use_for_a_gpu_is_named(monkeypatch):
    monkeypatch.setenv(placement.GPU_TASKS_VARIABLE, "gate,packing")
    with pytest.raises(AerieError, match="'packing' is none of embedding, gate, evaluation"):
        placement.gpu_tasks()


def test_every_task_waits_in_the_queue(executors):
    containers, settings = executors
    assert set(settings) == set(containers)
    for entry in settings.values():
        assert entry["podMetadata"]["labels"][placement.QUEUE_LABEL] == placement.QUEUE


def test_keys_come_from_the_secret_and_never_stand_in_the_pipeline(executors):
    containers, settings = executors
    for name, entry in settings.items():
        keys = {pair["envVar"]: pair["secretKey"] for pair in entry["secretAsEnv"][0]["keyToEnv"]}
        assert keys == {name: name for name in placement.STORAGE_SECRETS}
        assert "env" not in containers[name]["container"]


def test_a_pod_is_told_of_its_gpus_and_how_many_threads_its_cores_carry(executors):
    containers, settings = executors
    for name, entry in settings.items():
        labels, resources = entry["podMetadata"]["labels"], containers[name]["container"]["resources"]
        told = {one["name"]: labels[one["fieldPath"].split("'")[1]] for one in entry["fieldPathAsEnv"]}
        threads = resources["resourceCpuLimit"] if resources["resourceCpuLimit"].isdigit() else "1"
        assert told == {"OMP_NUM_THREADS": threads} | ({GIVEN_GPUS: "1"} if "accelerator" in resources else {}), name


def test_who_calls_a_service_has_its_label_and_its_key_if_there_is_one(executors):
    """The label opens the way (infra/), the Secret may be missing; nobody else has either."""
    _, settings = executors
    asking = dict.fromkeys(("exec-augmentation", "exec-judging"), placement.ENDPOINT)
    asking["exec-acceptance"] = placement.MODEL_REGISTRY
    for name, entry in settings.items():
        label, (_, *more) = entry["podMetadata"]["labels"].get(placement.CALLS_LABEL), entry["secretAsEnv"]
        if not (service := asking.pop(name, None)):
            assert (label, more) == (None, []), name
            continue
        (secret,) = more
        assert (label, secret["secretName"], secret["optional"]) == (service.name, f"aerie-{service.name}", True)
        assert secret["keyToEnv"] == [{"secretKey": service.key, "envVar": service.key}]
    assert not asking


def test_the_variables_are_those_that_are_read_and_hidden():
    assert placement.MODEL_REGISTRY.key == model_registry.TOKEN
    for service in placement.SERVICES:
        assert SECRET_NAME.search(service.key)
        assert service.key in docker_run.PASSED_ON


def test_a_trainjobs_place_travels_as_one_text():
    assert read_placement(placement.TRAINJOB.text()) == placement.TRAINJOB
    assert placement.TRAINJOB.deadline_seconds > 28 * 60 * 60, "stage 1.5 of the paper takes 28 hours"
