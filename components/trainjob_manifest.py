"""A stage's TrainJob as a dictionary: pure rendering, the same input always gives the same manifest.

Names are fixed here (runtime's job and container `node`, Secret and ConfigMap of the storage); sizes, image, queue
and deadline come with the placement, nodes and processes with the recipe, inputs and output with the job.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

API_GROUP, API_VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
NODE = "node"  # the runtime's replicated job and its container
RUN_LABEL, KFP_RUN_LABEL, STAGE_LABEL = "aerie.dev/run", "aerie.dev/kfp-run", "aerie.dev/stage"
PART_OF_LABEL, MANAGED_BY_LABEL = "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by"
QUEUE_LABEL, PRIORITY_LABEL = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class"
RECIPE_ANNOTATION, SPEC_ANNOTATION = "aerie.dev/recipe-sha256", "aerie.dev/spec-sha256"
OURS = {PART_OF_LABEL: "aerie", MANAGED_BY_LABEL: "aerie"}
STORAGE, WANDB = "aerie-storage", "aerie-wandb"
# A JobSet refuses names whose longest pod, NAME-node-0-INDEX-abcde, exceeds 63 characters.
LONGEST_NAME = 63 - len(f"-{NODE}-0-9999-abcde")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlacement:
    """What all stages' TrainJobs have in common; travels as JSON text.

    `cpu` and `memory` are Kubernetes quantities per node, limits as well as requests. With an empty `gpu_resource`
    training runs on the CPU. `devices` are further resources of a node with their number, such as RDMA cards: only the
    job can ask for them. `deadline_seconds` counts from the job's creation, the time in the queue included.
    """

    image: str
    queue: str
    priority_class: str
    gpu_resource: str
    cpu: str
    memory: str
    deadline_seconds: int
    devices: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def text(self) -> str:
        """JSON with sorted keys: how it travels into a component, whose body sees no constant of ours."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def read_placement(text: str) -> JobPlacement:
    """The placement of a JSON text; `AerieError` names missing and unknown keys."""
    from data.errors import AerieError

    try:
        document = json.loads(text)
        return JobPlacement(**document)
    except (ValueError, TypeError):
        expected = [field.name for field in dataclasses.fields(JobPlacement)]
        raise AerieError(f"placement must be a JSON object with the keys {expected}, not {text[:200]!r}") from None


def job_name(run_id: str, stage: str, recipe_sha256: str) -> str:
    """The one name that a run's stage has: whoever launches it again finds the job that is there."""
    digest = hashlib.sha256(json.dumps([run_id, stage, recipe_sha256]).encode()).hexdigest()
    return f"aerie-{stage.replace('_', '-')}-{digest[:16]}"


def label_value(text: str) -> str:
    """Text as a label value: itself when Kubernetes allows it, else its harmless characters and a hash."""
    if LABEL_VALUE.fullmatch(text) or not text:
        return text
    plain = re.sub(r"[^A-Za-z0-9-]+", "-", text).strip("-")[:40].strip("-")
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:12]}".lstrip("-")


def render(
    job: Any, recipe: Any, placement: JobPlacement, runtime: str, run_id: str, kfp_run_id: str
) -> dict[str, Any]:
    """The TrainJob of a `TrainingJob` and its recipe, as the launcher creates it."""
    spec = {
        "runtimeRef": {"apiGroup": API_GROUP, "kind": "ClusterTrainingRuntime", "name": runtime},
        "activeDeadlineSeconds": placement.deadline_seconds,
        "trainer": {
            "image": placement.image,
            "command": ["torchrun", "-m", "model.training"],
            "args": job.arguments(),
            "numNodes": recipe.stages[job.stage].nodes,
            "numProcPerNode": recipe.processes,
            "resourcesPerNode": _resources(placement, recipe.processes),
            "env": _environment(placement, recipe.processes),
        },
    }
    labels = {**OURS, RUN_LABEL: label_value(run_id), STAGE_LABEL: job.stage}
    labels |= {QUEUE_LABEL: placement.queue, PRIORITY_LABEL: placement.priority_class}
    labels |= {KFP_RUN_LABEL: label_value(kfp_run_id)} if kfp_run_id else {}
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": "TrainJob",
        "metadata": {
            "name": job_name(run_id, job.stage, job.recipe_sha256),
            "labels": labels,
            "annotations": {RECIPE_ANNOTATION: job.recipe_sha256, SPEC_ANNOTATION: spec_sha256(spec)},
        },
        "spec": spec,
    }


def spec_sha256(spec: Mapping[str, Any]) -> str:
    """What tells equal jobs apart from others of the same name; kept as an annotation since Kueue edits the spec."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def _resources(placement: JobPlacement, processes: int) -> dict[str, Any]:
    amounts: dict[str, Any] = {"cpu": placement.cpu, "memory": placement.memory}
    if placement.gpu_resource:
        amounts[placement.gpu_resource] = processes
    amounts |= placement.devices
    return {"limits": amounts, "requests": dict(amounts)}


def _environment(placement: JobPlacement, processes: int) -> list[dict[str, Any]]:
    """The workers' variables. Secrets by reference; torchrun's own (PET_*) are the runtime's and refused here."""
    from data.curation.given_gpus import GIVEN_GPUS

    threads = max(int(placement.cpu) // processes, 1) if placement.cpu.isdigit() else 1
    values = {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
    if placement.gpu_resource:
        values[GIVEN_GPUS] = str(processes)
    settings = ("AWS_ENDPOINT_URL", "AWS_REGION")
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    wandb = {"name": WANDB, "key": "WANDB_API_KEY", "optional": True}
    return [
        *({"name": name, "value": value} for name, value in values.items()),
        *({"name": key, "valueFrom": {"configMapKeyRef": {"name": STORAGE, "key": key}}} for key in settings),
        *({"name": key, "valueFrom": {"secretKeyRef": {"name": STORAGE, "key": key}}} for key in keys),
        {"name": "WANDB_API_KEY", "valueFrom": {"secretKeyRef": wandb}},
    ]
