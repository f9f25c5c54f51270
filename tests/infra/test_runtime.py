"""The ClusterTrainingRuntime: what a TrainJob can't say itself, and nothing that it must say."""

import dataclasses
from pathlib import Path

import pytest
from kubernetes.utils.quantity import parse_quantity

from components import trainjob_manifest
from model.recipe import load_recipe
from model.training.job import TrainingJob
from model.training.launch import SAVING_VARIABLE
from pipelines import placement
from pipelines.submission import TRAINING_RUNTIME

RECIPE = str(Path(__file__).resolve().parents[2] / "pipelines" / "recipes" / "tiny.yaml")
FIELDS = [field.name for field in dataclasses.fields(TrainingJob) if field.name != "stage"]


@pytest.fixture
def jobset(overlay):
    return overlay.one("ClusterTrainingRuntime", TRAINING_RUNTIME)["spec"]["template"]["spec"]


@pytest.fixture
def job(jobset):
    (replicated,) = jobset["replicatedJobs"]
    assert replicated["name"] == trainjob_manifest.NODE
    return replicated["template"]


@pytest.fixture
def pod(job):
    return job["spec"]["template"]["spec"]


@pytest.fixture
def container(pod):
    (container,) = pod["containers"]
    assert container["name"] == trainjob_manifest.NODE
    return container


def test_torchrun_gets_its_variables_from_the_torch_policy(overlay, job, container):
    policy = overlay.one("ClusterTrainingRuntime", TRAINING_RUNTIME)["spec"]["mlPolicy"]
    assert policy == {"numNodes": 1, "torch": {}}
    assert job["metadata"]["labels"]["trainer.kubeflow.org/trainjob-ancestor-step"] == "trainer"
    assert not [variable for variable in container["env"] if variable["name"].startswith("PET_")]
    assert container["command"] == ["torchrun", "-m", "model.training"]


def test_one_dead_rank_restarts_the_gang(jobset, job, pod):
    """The pod isn't restarted, its Job isn't repeated, so the JobSet sees the failure and starts all ranks anew."""
    assert pod["restartPolicy"] == "Never"
    assert job["spec"]["backoffLimit"] == 0
    assert jobset["failurePolicy"]["restartStrategy"] == "BlockingRecreate"
    assert 1 <= jobset["failurePolicy"]["maxRestarts"] <= 10


def test_what_repeating_cannot_mend_fails_at_once(jobset, job):
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["containerName"] == trainjob_manifest.NODE
    assert 1 not in rule["onExitCodes"]["values"], "torchrun's exit code for any dead rank"
    (reaction,) = jobset["failurePolicy"]["rules"]
    assert (reaction["action"], reaction["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])


def test_shared_memory_is_large_and_fits_into_the_memory_limit(overlay, pod, container):
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]]["emptyDir"] for mount in container["volumeMounts"]}
    assert mounts["/dev/shm"]["medium"] == "Memory"
    size = parse_quantity(mounts["/dev/shm"]["sizeLimit"])
    assert parse_quantity("1Gi") <= size <= parse_quantity(placement.TRAINJOB.memory) / 4
    assert overlay.name == "local" or size >= parse_quantity("64Gi")


def test_caches_and_temporary_files_have_a_place(container):
    values = {variable["name"]: variable.get("value", "") for variable in container["env"]}
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for name in (
        "HOME",
        "XDG_CACHE_HOME",
        "TRITON_CACHE_DIR",
        "TORCHINDUCTOR_CACHE_DIR",
        "QUACK_CACHE_DIR",
        "CUDA_CACHE_PATH",
    ):
        assert any(values[name].startswith(mount) for mount in mounts), name
    assert container["workingDir"] in mounts


def test_a_stopped_job_has_time_to_write_a_checkpoint(pod, container):
    """107 GB of the 9B network took 67 s; torchrun must wait for that and still end before the pod is killed."""
    (seconds,) = [int(one["value"]) for one in container["env"] if one["name"] == SAVING_VARIABLE]
    assert 240 <= seconds <= pod["terminationGracePeriodSeconds"] - 15


def test_where_it_runs_is_the_flavors_business(pod):
    assert not {"tolerations", "nodeSelector", "affinity", "priorityClassName"} & pod.keys()


def test_training_has_no_access_to_kubernetes(pod):
    assert pod["serviceAccountName"] == "aerie-trainer"
    assert pod["automountServiceAccountToken"] is False


def test_it_brings_the_same_references_as_a_trainjob(container):
    """A TrainJob's variables replace the runtime's by name; both must mean the same store."""
    job = TrainingJob(stage="stage_1", **dict.fromkeys(FIELDS, "x"))
    recipe, settings = load_recipe(RECIPE), trainjob_manifest.read_placement(placement.TRAINJOB.text())
    rendered = trainjob_manifest.render(job, recipe, settings, TRAINING_RUNTIME, "run", "")["spec"]["trainer"]["env"]
    ours = {item["name"]: item["valueFrom"] for item in container["env"] if "valueFrom" in item}
    theirs = {item["name"]: item["valueFrom"] for item in rendered if "valueFrom" in item}
    assert ours == theirs


def test_its_name_has_a_version():
    assert TRAINING_RUNTIME.rpartition("-v")[2].isdigit()
