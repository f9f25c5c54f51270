"""Images, resources and GPUs: one bad and one good pipeline per rule."""

import json

import pytest
from kfp import dsl, kubernetes

from pipelines.lint_pods import LOCAL, RULES

DIGEST = "registry.example/aerie@sha256:" + "0" * 64


@dsl.component(base_image=LOCAL + "test:1", install_kfp_package=False)
def local(text: str = ""):
    pass


@dsl.component(base_image=LOCAL + "test:latest", install_kfp_package=False)
def local_latest():
    pass


@dsl.component(base_image="registry.example:5000/test", install_kfp_package=False)
def untagged():
    pass


@dsl.component(base_image="registry.example/test:1", install_kfp_package=False)
def tagged():
    pass


@dsl.component(base_image=DIGEST, install_kfp_package=False)
def pinned(text: str = ""):
    pass


@dsl.component(base_image=DIGEST, install_kfp_package=False)
def train(training_runtime: str, kfp_run_id: str):
    pass


def with_gpus(task, count=1, kind="nvidia.com/gpu", tolerated=True, queued=True):
    task.set_accelerator_type(kind).set_accelerator_limit(count)
    if tolerated:
        kubernetes.add_toleration(task, key=kind, operator="Exists", effect="NoSchedule")
    if queued:
        kubernetes.add_pod_label(task, "kueue.x-k8s.io/queue-name", "aerie")


def local_image():
    local()


def moving_local_image():
    local_latest()


def image_without_tag():
    untagged()


def image_with_tag():
    tagged()


def image_of_the_job_with_tag():
    pinned(text=json.dumps({"image": "registry.example/train:1"}))


def local_image_of_the_job():
    pinned(text=json.dumps({"image": LOCAL + "train:1"}))


def pinned_images():
    pinned(text=json.dumps({"image": DIGEST}))


def no_resources():
    pinned()


def requests_without_limit():
    pinned().set_cpu_request("1").set_memory_request("1Gi")


def all_resources():
    pinned().set_cpu_request("1").set_memory_request("1Gi").set_memory_limit("1Gi")


def eight_gpus():
    with_gpus(pinned(), count=8)


def rdma():
    with_gpus(pinned(), kind="rdma/ib")


def gpu_beside_its_job(runtime: str):
    with_gpus(train(training_runtime=runtime, kfp_run_id="k"))


def one_gpu():
    with_gpus(pinned())


def gpu_without_toleration():
    with_gpus(pinned(), tolerated=False)


def gpu_without_queue():
    with_gpus(pinned(), queued=False)


BAD = {
    "moving-image": [moving_local_image, image_without_tag, image_with_tag, image_of_the_job_with_tag],
    "local-image": [local_image, local_image_of_the_job],
    "missing-resources": [no_resources, requests_without_limit],
    "training-in-a-task": [eight_gpus, rdma, gpu_beside_its_job],
    "unplaced-gpu": [gpu_without_toleration, gpu_without_queue],
}
GOOD = {
    "moving-image": [pinned_images, local_image, local_image_of_the_job],
    "local-image": [pinned_images],
    "missing-resources": [all_resources],
    "training-in-a-task": [one_gpu, no_resources],
    "unplaced-gpu": [one_gpu, no_resources],
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


def test_only_the_local_image_is_a_note():
    assert [rule.name for rule in RULES if rule.note] == ["local-image"]
