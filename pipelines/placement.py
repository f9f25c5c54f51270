"""Where and how each task runs on a cluster: the only place for resources, caching, retries, queue, tolerations.

The local runner ignores all of it. Pods are admitted by Kueue from the queue named here. Training happens in
TrainJobs: KFP's pods drop all capabilities, so they have no RDMA, and a stage's own task only launches and watches.
"""

import os
from dataclasses import dataclass, replace
from typing import Any

from kfp import dsl, kubernetes

from components.images import TRAIN_IMAGE
from components.trainjob_manifest import JobPlacement
from data.curation.given_gpus import GIVEN_GPUS
from data.errors import AerieError

QUEUE = "aerie"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"
DATA_PRIORITY, TRAINING_PRIORITY = "aerie-data", "aerie-training"
GPU_RESOURCE = "nvidia.com/gpu"
GPUS_LABEL, THREADS_LABEL = "aerie.dev/gpus", "aerie.dev/threads"  # what a pod is told of itself
GPU_TASKS_VARIABLE = "AERIE_GPU_TASKS"
GPU_TASKS = ("embedding", "gate", "evaluation")  # tasks that know what to do with a GPU
# Kueue keeps a flavor with a topology, which the GPU nodes have, for pods that ask for one: any place in it will do.
TOPOLOGY_ANNOTATION = "kueue.x-k8s.io/podset-unconstrained-topology"
STORAGE = "aerie-storage"  # a Secret with the keys of the store, and a ConfigMap that says where it is
STORAGE_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
STORAGE_SETTINGS = ("AWS_ENDPOINT_URL", "AWS_REGION")
DAY = 24 * 60 * 60
# Argo's default forgets a finished workflow, and with it the pods and their logs, after an hour.
LIFETIME = dsl.PipelineConfig(ttl_seconds_after_success=7 * DAY, ttl_seconds_after_failure=30 * DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a task asks over the network besides KFP and the store.

    name: value of the pod's label CALLS_LABEL, by which the network policies of infra/ let the task through; its key,
        if it wants one, lies in the Secret aerie-NAME.
    key: the key's name in that Secret, and the variable that holds it in the task.
    """

    name: str
    key: str


CALLS_LABEL = "aerie.dev/calls"
ENDPOINT = Service(name="endpoint", key="AERIE_ENDPOINT_API_KEY")  # `api_key_env` of a recipe's endpoint
MODEL_REGISTRY = Service(name="model-registry", key="MODEL_REGISTRY_TOKEN")
SERVICES = (ENDPOINT, MODEL_REGISTRY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One kind of task.

    cached: KFP may reuse an equal earlier execution; off where a task launches or publishes something.
    retries: repeats of a task that *failed*, after one minute, then two (lost pods are another matter: Argo repeats
        those by itself). Steps are idempotent, so repeats are safe; a step that stops on a user's mistake fails again.
    """

    cpu: str
    memory: str
    gpus: int = 0
    cached: bool = True
    retries: int = 0
    calls: Service | None = None


def gpu_tasks() -> frozenset[str]:
    """The tasks that get a GPU, by the environment of whoever compiles; `AerieError` names one that has no use for it.

    Evaluation alone where nothing is said. A cluster without GPUs says "", one that curates millions of samples all.
    """
    given = os.environ.get(GPU_TASKS_VARIABLE, "evaluation")
    names = frozenset(name.strip() for name in given.split(",") if name.strip())
    if unknown := sorted(names - set(GPU_TASKS)):
        raise AerieError(f"{GPU_TASKS_VARIABLE}={given!r}: {unknown[0]!r} is none of {', '.join(GPU_TASKS)}")
    return names


def _on_gpu(task: str, otherwise: Place) -> Place:
    """With a GPU, and the cores that keep it busy, where `gpu_tasks` has the task."""
    return replace(otherwise, cpu="16", memory="64Gi", gpus=1) if task in gpu_tasks() else otherwise


TOKENIZER = Place(cpu="1", memory="8Gi", retries=2)  # one that is trained keeps every distinct word
DATA = Place(cpu="4", memory="16Gi", retries=2)
LARGE = replace(DATA, memory="24Gi")  # validation holds the held-out samples twice, selection 760 bytes of every row
EMBEDDING, SIMILARITY = _on_gpu("embedding", DATA), _on_gpu("gate", DATA)
AUGMENTATION = replace(DATA, calls=ENDPOINT)
GATE = Place(cpu="500m", memory="1Gi", cached=False)  # cheap, and its verdict must be seen in every run
ACCEPTANCE = replace(GATE, calls=MODEL_REGISTRY)
LAUNCHER = Place(cpu="500m", memory="2Gi", cached=False)
EVALUATION = _on_gpu("evaluation", Place(cpu="4", memory="16Gi"))
LAST_EVALUATION = replace(EVALUATION, cached=False)  # reads benchmarks' files, which no parameter describes
JUDGING = Place(cpu="1", memory="4Gi", retries=2, calls=ENDPOINT)  # paid answers are kept as they come
PROMOTION = Place(cpu="1", memory="4Gi", cached=False)  # reads the registry, which no parameter describes
REPORT = Place(cpu="1", memory="4Gi", cached=False)  # reads the whole run folder, more than its parameters say

# Nodes and processes (one a GPU) come from the recipe. cpu and memory are a node's.
TRAINJOB = JobPlacement(
    image=TRAIN_IMAGE,
    queue=QUEUE,
    priority_class=TRAINING_PRIORITY,
    gpu_resource=GPU_RESOURCE,
    cpu="96",
    memory="960Gi",
    deadline_seconds=5 * DAY,
)


def place(task: dsl.PipelineTask, at: Place, name: str = "") -> dsl.PipelineTask:
    """Apply a placement to a task and name it for the UI."""
    task.set_caching_options(enable_caching=at.cached)
    task.set_cpu_request(at.cpu).set_cpu_limit(at.cpu).set_memory_request(at.memory).set_memory_limit(at.memory)
    if at.retries:
        task.set_retry(num_retries=at.retries, backoff_duration="60s", backoff_factor=2.0)
    if at.gpus:
        task.set_accelerator_type(GPU_RESOURCE).set_accelerator_limit(at.gpus)
        _tell(task, GIVEN_GPUS, GPUS_LABEL, at.gpus)
        kubernetes.add_toleration(task, key=GPU_RESOURCE, operator="Exists", effect="NoSchedule")
        kubernetes.add_pod_annotation(task, TOPOLOGY_ANNOTATION, "true")
    # Numeric libraries count the node's cores, not the pod's: 200 threads would share its 4.
    _tell(task, "OMP_NUM_THREADS", THREADS_LABEL, int(at.cpu) if at.cpu.isdigit() else 1)
    kubernetes.add_pod_label(task, QUEUE_LABEL, QUEUE)
    kubernetes.add_pod_label(task, PRIORITY_LABEL, DATA_PRIORITY)
    kubernetes.use_secret_as_env(task, STORAGE, {key: key for key in STORAGE_SECRETS})
    kubernetes.use_config_map_as_env(task, STORAGE, {key: key for key in STORAGE_SETTINGS})
    if service := at.calls:
        kubernetes.add_pod_label(task, CALLS_LABEL, service.name)
        kubernetes.use_secret_as_env(task, f"aerie-{service.name}", {service.key: service.key}, optional=True)
    if name:
        task.set_display_name(name)
    return task


def _tell(task: dsl.PipelineTask, variable: str, label: str, number: int) -> None:
    """A variable whose value is a label of the pod: with a value of its own it would steer the task past the cache."""
    kubernetes.add_pod_label(task, label, str(number))
    kubernetes.use_field_path_as_env(task, variable, f"metadata.labels['{label}']")


def manifest_of(task: dsl.PipelineTask) -> Any:
    """What a step hands to the next: the hash of the manifest it committed."""
    return task.outputs["Output"]
