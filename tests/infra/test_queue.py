"""Kueue's objects: every request is covered, every workload finds a flavor, the quotas fit together."""

import pytest
from google.protobuf.json_format import MessageToDict
from kfp import dsl
from kubernetes.utils.quantity import parse_quantity

from pipelines import placement

TOPOLOGY_REQUESTS = {f"kueue.x-k8s.io/podset-{kind}-topology" for kind in ("required", "preferred", "unconstrained")}


@pytest.fixture
def queue(overlay):
    return overlay.one("ClusterQueue", "aerie")["spec"]


def test_names_are_those_that_workloads_carry(overlay):
    assert overlay.one("LocalQueue", placement.QUEUE)["spec"]["clusterQueue"] == "aerie"
    classes = {item["metadata"]["name"]: item["value"] for item in overlay.of("WorkloadPriorityClass")}
    assert classes.keys() == {placement.DATA_PRIORITY, placement.TRAINING_PRIORITY}
    assert classes[placement.TRAINING_PRIORITY] > classes[placement.DATA_PRIORITY]


def test_every_flavor_and_topology_exists(overlay, queue):
    (group,) = queue["resourceGroups"]
    flavors = {item["metadata"]["name"]: item.get("spec", {}) for item in overlay.of("ResourceFlavor")}
    assert [flavor["name"] for flavor in group["flavors"]] == ["aerie-cpu", "aerie-h100"]
    assert flavors.keys() == {"aerie-cpu", "aerie-h100"}
    assert "topologyName" not in flavors["aerie-cpu"]
    assert overlay.one("Topology", flavors["aerie-h100"]["topologyName"])
    assert flavors["aerie-h100"]["nodeLabels"], "a flavor with a topology needs a node label"


def test_one_group_covers_all_that_any_pod_asks_for(cluster, queue):
    """Kueue admits no pod with a resource outside; topology needs all of a pod's resources from one flavor."""
    (group,) = queue["resourceGroups"]
    covered = set(group["coveredResources"])
    asked = {
        resource
        for pod in cluster.pods()
        for container in pod.containers
        for amounts in container["resources"].values()
        for resource in amounts
    }
    assert asked | {"cpu", "memory", placement.GPU_RESOURCE} <= covered
    for flavor in group["flavors"]:
        assert [resource["name"] for resource in flavor["resources"]] == group["coveredResources"]


def test_the_namespace_may_use_the_queue(overlay, queue):
    (namespace,) = overlay.of("Namespace")
    wanted = queue["namespaceSelector"]["matchLabels"]
    assert wanted.items() <= namespace["metadata"]["labels"].items()


def test_cpu_nodes_have_no_gpus_and_gpu_nodes_have_room_for_them(overlay):
    cpu, gpu = overlay.flavor("aerie-cpu"), overlay.flavor("aerie-h100")
    assert cpu[placement.GPU_RESOURCE] == "0"
    nodes = int(gpu[placement.GPU_RESOURCE]) // 8
    assert parse_quantity(gpu["cpu"]) >= nodes * parse_quantity(placement.TRAINJOB.cpu)
    assert parse_quantity(gpu["memory"]) >= nodes * parse_quantity(placement.TRAINJOB.memory)


def test_the_largest_task_fits(overlay):
    flavor = overlay.flavor("aerie-cpu")
    places = [at for at in vars(placement).values() if isinstance(at, placement.Place) and not at.gpus]
    assert {placement.DATA, placement.LARGE, placement.TOKENIZER} <= set(places)
    for at in places:
        assert parse_quantity(at.cpu) <= parse_quantity(flavor["cpu"])
        assert parse_quantity(at.memory) <= parse_quantity(flavor["memory"])


def test_the_namespaces_quota_is_wider_than_the_queue(overlay):
    """Pods that wait for Kueue count in a ResourceQuota, so a narrow one would refuse what the queue would hold."""
    hard = overlay.one("ResourceQuota", "aerie")["spec"]["hard"]
    pools = [overlay.flavor("aerie-cpu"), overlay.flavor("aerie-h100")]
    for resource in ("cpu", "memory", placement.GPU_RESOURCE):
        total = sum(parse_quantity(pool[resource]) for pool in pools)
        assert parse_quantity(hard[f"requests.{resource}"]) >= total
    assert overlay.flavor("aerie-h100")[placement.GPU_RESOURCE] == "0" or (
        parse_quantity(hard[f"requests.{placement.GPU_RESOURCE}"])
        > parse_quantity(overlay.flavor("aerie-h100")[placement.GPU_RESOURCE])
    )


def test_a_quota_on_resources_comes_with_defaults_for_them(overlay):
    """A pod without a request would be refused: KFP's drivers name none."""
    (limits,) = overlay.one("LimitRange", "aerie")["spec"]["limits"]
    assert {"cpu", "memory"} == limits["default"].keys() == limits["defaultRequest"].keys()


def test_training_takes_precedence_within_the_queue(queue):
    assert queue["preemption"]["withinClusterQueue"] == "LowerPriority"
    assert queue["preemption"]["reclaimWithinCohort"] == "Any"
    assert "borrowWithinCohort" not in queue["preemption"], "not together with fair sharing"
    assert int(queue["fairSharing"]["weight"]) > 0


def test_the_flavor_tolerates_the_gpu_nodes_taint(overlay):
    taint = {"key": placement.GPU_RESOURCE, "effect": "NoSchedule"}
    tolerations = overlay.one("ResourceFlavor", "aerie-h100")["spec"]["tolerations"]
    assert {**taint, "operator": "Exists"} in tolerations


def test_the_runtime_asks_for_a_level_of_the_topology(overlay):
    levels = [level["nodeLabel"] for level in overlay.one("Topology", "aerie-h100")["spec"]["levels"]]
    (runtime,) = overlay.of("ClusterTrainingRuntime")
    (pod,) = [pod for pod in overlay.pods() if pod.owner is runtime]
    assert pod.metadata["annotations"]["kueue.x-k8s.io/podset-preferred-topology"] in levels
    assert levels[-1] == "kubernetes.io/hostname"


def test_a_gpu_task_asks_for_topology_too():
    """Kueue keeps a flavor with a topology for pods that ask for one; without it evaluation would wait for ever."""

    @dsl.component(base_image="localhost/aerie-python-eval:0.1.0", install_kfp_package=False)
    def nothing():
        pass

    @dsl.pipeline(name="one-gpu-task")
    def one_gpu_task():
        placement.place(nothing(), placement.EVALUATION)

    platform = MessageToDict(one_gpu_task.platform_spec)["platforms"]["kubernetes"]
    metadata = platform["deploymentSpec"]["executors"]["exec-nothing"]["podMetadata"]
    assert TOPOLOGY_REQUESTS & metadata.get("annotations", {}).keys()
