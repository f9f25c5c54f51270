"""Where and how each task runs on a cluster: the only place for resources, caching, retries, queue, tolerations.

The local runner ignores all of it. Pods are admitted by Kueue from the queue named here; GPU tasks tolerate the
GPU nodes' taint and no other task lands there.
"""

from dataclasses import dataclass
from typing import Any

from kfp import dsl, kubernetes

QUEUE = "aerie"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
GPU_RESOURCE = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One kind of task.

    cached: KFP may reuse an equal earlier execution; off where a task launches or publishes something.
    retries: repeats of a task that *failed*. Zero by default: a step is deterministic, so it would fail again
        (lost pods are another matter: Argo repeats those by itself). Steps are idempotent, so repeats are safe.
    """

    cpu: str
    memory: str
    gpus: int = 0
    cached: bool = True
    retries: int = 0


SMALL = Place(cpu="1", memory="2Gi")
DATA = Place(cpu="4", memory="16Gi")
GATE = Place(cpu="500m", memory="1Gi", cached=False)  # cheap, and its verdict must be seen in every run
TRAINING = Place(cpu="16", memory="128Gi", gpus=1, cached=False)
EVALUATION = Place(cpu="8", memory="64Gi", gpus=1)
REPORT = Place(cpu="1", memory="4Gi", cached=False)  # reads the whole run folder, more than its parameters say


def place(task: dsl.PipelineTask, at: Place, name: str = "") -> Any:
    """Apply a placement to a task and name it for the UI; returns its output, the hash of the manifest it commits."""
    task.set_caching_options(enable_caching=at.cached)
    task.set_cpu_request(at.cpu).set_memory_request(at.memory).set_memory_limit(at.memory)
    if at.retries:
        task.set_retry(num_retries=at.retries, backoff_duration="60s", backoff_factor=2.0)
    if at.gpus:
        task.set_accelerator_type(GPU_RESOURCE).set_accelerator_limit(at.gpus)
        kubernetes.add_toleration(task, key=GPU_RESOURCE, operator="Exists", effect="NoSchedule")
    kubernetes.add_pod_label(task, QUEUE_LABEL, QUEUE)
    if name:
        task.set_display_name(name)
    return task.outputs["Output"]
