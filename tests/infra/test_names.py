"""Names that manifests and programs must agree on, and settings that say one thing twice."""

import inspect
from importlib.util import find_spec
from urllib.parse import urlsplit

import pytest
import yaml
from typer.main import get_command

from components import trainjob_manifest
from data import buckets, object_client
from pipelines import kfp_endpoint, placement, release, submission, versions
from pipelines.cli import app


@pytest.fixture
def settings(overlay):
    return overlay.one("ConfigMap", "aerie-storage")["data"]


def test_the_storages_settings_are_the_variables_that_are_read(settings):
    assert set(settings) == {*placement.STORAGE_SETTINGS, buckets.STORAGE_VARIABLE}
    source = inspect.getsource(object_client)
    for name in (*placement.STORAGE_SETTINGS, *placement.STORAGE_SECRETS):
        assert f'"{name}"' in source, f"nothing reads {name}"
    assert placement.STORAGE == trainjob_manifest.STORAGE == "aerie-storage"


def test_the_storage_is_a_bucket(settings):
    assert buckets.bucket_of(settings["AERIE_STORAGE_URI"])


def test_kfps_artifacts_go_to_the_same_store(overlay, settings):
    launcher = overlay.one("ConfigMap", "kfp-launcher")["data"]
    (provider,) = yaml.safe_load(launcher["providers"]).items()
    name, default = provider[0], provider[1]["default"]
    scheme, _, path = launcher["defaultPipelineRoot"].partition("://")
    assert scheme == name == "minio"
    endpoint = urlsplit(settings["AWS_ENDPOINT_URL"])
    assert default["disableSSL"] is (endpoint.scheme == "http")
    assert default["endpoint"].split(":")[0].split(".")[0] == endpoint.hostname.split(".")[0]
    assert default["endpoint"].partition(":")[2] == (str(endpoint.port) if endpoint.port else "")
    assert path.split("/")[0] == buckets.bucket_of(settings["AERIE_STORAGE_URI"])
    assert default["region"] == settings["AWS_REGION"]
    assert default["forcePathStyle"] is True


def test_kfps_artifacts_are_kept_apart_from_the_runs(overlay, settings):
    root = overlay.one("ConfigMap", "kfp-launcher")["data"]["defaultPipelineRoot"].partition("://")[2]
    storage = settings["AERIE_STORAGE_URI"].removeprefix("s3://")
    assert not root.startswith(storage + "/")
    assert not storage.startswith(root + "/")


def test_kfps_credentials_are_the_storages_by_reference(overlay):
    launcher = overlay.one("ConfigMap", "kfp-launcher")["data"]
    credentials = yaml.safe_load(launcher["providers"])["minio"]["default"]["credentials"]
    assert credentials == {
        "fromEnv": False,
        "secretRef": {
            "secretName": placement.STORAGE,
            "accessKeyKey": placement.STORAGE_SECRETS[0],
            "secretKeyKey": placement.STORAGE_SECRETS[1],
        },
    }


def test_runs_belong_to_the_namespace_and_account_of_this_folder(cluster):
    (namespace,) = cluster.of("Namespace")
    assert namespace["metadata"]["name"] == release.NAMESPACE == kfp_endpoint.NAMESPACE
    assert cluster.one("ServiceAccount", submission.SERVICE_ACCOUNT)
    assert cluster.one("ClusterTrainingRuntime", submission.TRAINING_RUNTIME)
    assert versions.EXPERIMENT == "aerie"


def test_the_programs_know_the_commands_that_pods_run(cluster):
    commands = get_command(app).commands
    for pod in cluster.pods():
        for container in pod.containers:
            program, *arguments = container.get("command", [""])
            if program == "aerie":
                command = commands[arguments[0]]
                options = {option for parameter in command.params for option in parameter.opts}
                assert {word for word in arguments if word.startswith("--")} <= options, pod.where
            elif program == "python":
                assert find_spec(arguments[1]), pod.where


def test_jobs_ask_the_kfp_that_programs_ask(cluster):
    for pod in cluster.pods():
        values = {item["name"]: item.get("value") for item in pod.containers[0].get("env", [])}
        if kfp_endpoint.ENDPOINT_VARIABLE in values:
            assert values[kfp_endpoint.ENDPOINT_VARIABLE] == kfp_endpoint.IN_CLUSTER
            assert kfp_endpoint.NAMESPACE_VARIABLE in values


def test_trainjobs_carry_the_labels_of_the_queue():
    assert trainjob_manifest.QUEUE_LABEL == placement.QUEUE_LABEL
    assert trainjob_manifest.PRIORITY_LABEL == placement.PRIORITY_LABEL
    assert placement.TRAINJOB.queue == placement.QUEUE
    assert placement.TRAINJOB.priority_class == placement.TRAINING_PRIORITY
