"""Rules about pods: images, resources, GPUs."""

import json
from collections.abc import Iterator

from pipelines.lint_effects import launches
from pipelines.lint_package import Package
from pipelines.lint_rule import Rule, Trouble
from pipelines.lint_values import constants

LOCAL = "localhost/"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
# No CPU limit is asked for: it only throttles. A memory limit keeps one task from evicting its neighbours.
NEEDED = {
    "resourceCpuRequest": "CPU request",
    "resourceMemoryRequest": "memory request",
    "resourceMemoryLimit": "memory limit",
}


def _tag(reference: str) -> str:
    return reference.rsplit("/", 1)[-1].partition(":")[2]


def images(package: Package) -> Iterator[tuple[str, str]]:
    """(task path, reference) of every pod's image and of every image that a task gets in a JSON text for its job."""
    for task in package.pods:
        yield task.path, task.container["image"]
    for place, _, value in constants(package):
        try:
            settings = json.loads(value) if isinstance(value, str) else {}
        except ValueError:
            continue
        if isinstance(settings, dict) and isinstance(settings.get("image"), str):
            yield place, settings["image"]


def moving_image(package: Package) -> Iterator[Trouble]:
    """A tag that may point to something else tomorrow."""
    for path, image in images(package):
        moving = "@sha256:" not in image and (_tag(image) in {"", "latest"} or not image.startswith(LOCAL))
        if moving:
            yield path, f"image {image} isn't pinned by digest"


def local_image(package: Package) -> Iterator[Trouble]:
    """An image that only the machine that built it has: fine there, and only there."""
    first = {image: path for path, image in reversed([*images(package)])}
    for image, path in first.items():
        if image.startswith(LOCAL) and "@sha256:" not in image and _tag(image) not in {"", "latest"}:
            yield path, f"image {image} exists on the machine that built it only"


def missing_resources(package: Package) -> Iterator[Trouble]:
    """A pod without requests or without a memory limit."""
    for task in package.pods:
        given = task.container.get("resources", {})
        lacking = [words for key, words in NEEDED.items() if not given.get(key)]
        if lacking:
            yield task.path, f"no {', no '.join(lacking)}"


def training_in_a_task(package: Package) -> Iterator[Trouble]:
    """Several GPUs or RDMA in a KFP pod, or a GPU held by a task that only waits for its TrainJob."""
    for task in package.pods:
        count, kind = task.accelerators
        if count > 1 or kind.startswith("rdma/"):
            yield task.path, f"the pod asks for {count} x {kind}"
        elif count and launches(task):
            yield task.path, f"the pod holds {count} x {kind} while its TrainJob waits for GPUs"


def unplaced_gpu(package: Package) -> Iterator[Trouble]:
    """A GPU pod that the GPU nodes refuse, or that no queue admits."""
    for task in package.pods:
        count, kind = task.accelerators
        if not count:
            continue
        tolerated = any(entry.get("key") == kind for entry in task.extras.get("tolerations", []))
        queued = QUEUE_LABEL in task.extras.get("podMetadata", {}).get("labels", {})
        lacking = [word for word, given in (("toleration", tolerated), ("queue label", queued)) if not given]
        if lacking:
            yield task.path, f"the pod asks for {kind} and has no {' and no '.join(lacking)}"


RULES = (
    Rule(
        name="moving-image",
        fact="cache keys hold the image string, not its content",
        remedy="write NAME@sha256:DIGEST",
        check=moving_image,
    ),
    Rule(
        name="local-image",
        fact="a cluster can't pull it",
        remedy="set AERIE_DATA_IMAGE, AERIE_EVAL_IMAGE, AERIE_STAGE_IMAGE and AERIE_TRAIN_IMAGE to pushed images",
        check=local_image,
        note=True,
    ),
    Rule(
        name="missing-resources",
        fact="a pod without requests is scheduled anywhere and evicted first, and a quota refuses it",
        remedy="set requests for CPU and memory and a memory limit in pipelines/placement.py",
        check=missing_resources,
    ),
    Rule(
        name="training-in-a-task",
        fact="KFP pods drop all capabilities, so they have no RDMA, and share no gang scheduling",
        remedy="train in a TrainJob; the task only launches and watches it",
        check=training_in_a_task,
    ),
    Rule(
        name="unplaced-gpu",
        fact="GPU nodes are tainted, and a pod outside the queue escapes Kueue's quota",
        remedy="add the toleration and the label kueue.x-k8s.io/queue-name",
        check=unplaced_gpu,
    ),
)
