"""Artifacts, importers and volumes: one bad and one good pipeline per rule."""

import pytest
from kfp import dsl, kubernetes

from pipelines.lint_artifacts import RULES

component = dsl.component(base_image="localhost/test:1", install_kfp_package=False)
hands_on = dsl.component(
    base_image="localhost/test:1",
    install_kfp_package=False,
    task_config_passthroughs=[dsl.TaskConfigField.RESOURCES, dsl.TaskConfigField.KUBERNETES_VOLUMES],
)


@component
def word(text: str) -> str:
    return text


@component
def write(data: dsl.Output[dsl.Dataset], metrics: dsl.Output[dsl.Metrics]):
    pass


@component
def read(data: dsl.Input[dsl.Dataset]):
    pass


@component
def show(metrics: dsl.Input[dsl.Metrics]):
    pass


@hands_on
def launch_job(task_config: dsl.TaskConfig):
    pass


def reads_a_dataset():
    read(data=write().outputs["data"])


def reads_metrics():
    show(metrics=write().outputs["metrics"])


def imports(uri):
    return dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset)


def imports_what_a_task_says():
    imports(word(text="s3://bucket/data").output)


def imports_a_parameter(uri: str):
    imports(uri)


def imports_from_the_hub():
    imports("hf://owner/data")


def imports_a_volume_by_default(uri: str = "pvc://claim/data"):
    imports(uri)


def imports_a_constant():
    imports("s3://bucket/data")


def volume():
    claim = kubernetes.CreatePVC(access_modes=["ReadWriteOnce"], size="1Gi", pvc_name_suffix="-data")
    kubernetes.mount_pvc(word(text="a"), pvc_name=claim.outputs["name"], mount_path="/data")


def existing_volume():
    kubernetes.mount_pvc(word(text="a"), pvc_name="data", mount_path="/data")


def hands_on_shared_memory():
    kubernetes.empty_dir_mount(launch_job(), volume_name="shm", mount_path="/dev/shm", medium="Memory")


def keeps_shared_memory():
    launch_job()
    kubernetes.empty_dir_mount(word(text="a"), volume_name="shm", mount_path="/dev/shm", medium="Memory")


BAD = {
    "input-artifact": [reads_a_dataset],
    "importer-source": [imports_what_a_task_says],
    "importer-scheme": [imports_from_the_hub, imports_a_volume_by_default],
    "created-volume": [volume],
    "shared-memory-passthrough": [hands_on_shared_memory],
}
GOOD = {
    "input-artifact": [reads_metrics],
    "importer-source": [imports_a_parameter, imports_a_constant],
    "importer-scheme": [imports_a_parameter, imports_a_constant],
    "created-volume": [existing_volume],
    "shared-memory-passthrough": [keeps_shared_memory],
}


def pairs(cases):
    return [pytest.param(rule, one, id=f"{rule}-{one.__name__}") for rule, many in cases.items() for one in many]


def test_every_rule_has_a_bad_and_a_good_pipeline():
    assert set(BAD) == set(GOOD) == {rule.name for rule in RULES}


@pytest.mark.parametrize(("rule", "pipeline"), pairs(BAD))
def test_bad(rule, pipeline, broken_rules):
    assert rule in broken_rules(pipeline)


@pytest.mark.parametrize(("rule", "pipeline"), pairs(GOOD))
def test_good(rule, pipeline, broken_rules):
    assert rule not in broken_rules(pipeline)
