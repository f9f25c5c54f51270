"""What an API server with Kubeflow Trainer's webhook says to a new TrainJob."""

import copy
from typing import Any

ANY: dict[str, Any] = {}
RESOURCES = {"limits": ANY, "requests": ANY, "claims": ANY}
KNOWN = {
    "apiVersion": ANY,
    "kind": ANY,
    "metadata": {"name": ANY, "namespace": ANY, "labels": ANY, "annotations": ANY, "finalizers": ANY},
    "spec": {
        "runtimeRef": {"apiGroup": ANY, "kind": ANY, "name": ANY},
        "initializer": ANY,
        "trainer": {
            **dict.fromkeys(("image", "command", "args", "env", "numNodes", "numProcPerNode"), ANY),
            "resourcesPerNode": RESOURCES,
        },
        "runtimePatches": ANY,
        "managedBy": ANY,
        "suspend": ANY,
        "activeDeadlineSeconds": ANY,
    },
}
RUNTIMES = {"aerie-torch-v1"}
WEBHOOK = 'admission webhook "validator.trainjob.trainer.kubeflow.org" denied the request: '


def refusal_of(body: dict[str, Any], validation: str) -> tuple[int, str, str] | None:
    """(HTTP status, reason, message) when the job isn't taken."""
    unknown = list(_unknown(body, KNOWN, ""))
    if validation == "Strict" and unknown:
        fields = ", ".join(f'unknown field "{path}"' for path in unknown)
        return 400, "BadRequest", f"strict decoding error: {fields}"
    runtime = body["spec"]["runtimeRef"]["name"]
    if runtime not in RUNTIMES:
        return (
            403,
            "Forbidden",
            f'{WEBHOOK}spec.runtimeRef: Invalid value: ClusterTrainingRuntime "{runtime}" not found',
        )
    if any(item["name"].startswith("PET_") for item in body["spec"]["trainer"].get("env", [])):
        return 403, "Forbidden", f"{WEBHOOK}spec.trainer.env: must not have reserved envs"
    return None


def without_unknown(body: dict[str, Any]) -> dict[str, Any]:
    """The body as a server keeps it without strict validation: unknown fields are gone without a word."""
    kept = copy.deepcopy(body)
    for path in _unknown(body, KNOWN, ""):
        *folders, last = path.split(".")
        inner = kept
        for folder in folders:
            inner = inner[folder]
        del inner[last]
    return kept


def _unknown(value: Any, known: dict[str, Any], path: str) -> Any:
    for key, inner in value.items() if known and isinstance(value, dict) else ():
        where = f"{path}.{key}".lstrip(".")
        if key not in known:
            yield where
        else:
            yield from _unknown(inner, known[key], where)
