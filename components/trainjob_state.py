"""What a TrainJob and its pods look like from outside: the API's JSON as small frozen types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.trainjob_manifest import KFP_RUN_LABEL, NODE, SPEC_ANNOTATION

ORPHAN_ANNOTATION = "aerie.dev/orphan-since"  # when the reaper first found its KFP run over
INDEX = "batch.kubernetes.io/job-completion-index"  # a pod's node number, as label and as annotation


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """One observation of a TrainJob.

    `phase`: queued (suspended, by Kueue until it is admitted), starting, running, complete or failed. `created`
    and `since`, when the deciding condition came, are ISO 8601. `deleting`: it is on its way out, whatever its phase.
    """

    name: str
    uid: str
    phase: str
    created: str = ""
    since: str = ""
    reason: str = ""
    message: str = ""
    deleting: bool = False
    seen_by_controller: bool = True
    kfp_run: str = ""
    spec_sha256: str = ""
    orphan_since: str = ""

    @property
    def over(self) -> bool:
        """True when it will not run any more."""
        return self.phase in {"complete", "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """One observation of a node's pod; `exit_code` is None while the container hasn't ended."""

    name: str
    created: str
    node: int
    started: bool
    ended: bool
    restarts: int = 0
    exit_code: int | None = None
    finished: str = ""
    reason: str = ""

    @property
    def failed(self) -> bool:
        """True when the container ended badly, or the pod was evicted before it could end."""
        return self.ended and self.exit_code != 0


def job_state(job: Mapping[str, Any]) -> JobState:
    """Read a TrainJob. Success and failure are what the conditions say, never what is missing."""
    metadata, status = job["metadata"], job.get("status") or {}
    true = {item["type"]: item for item in status.get("conditions") or [] if item.get("status") == "True"}
    phase = _phase(true, status)
    condition = true.get({"complete": "Complete", "failed": "Failed", "queued": "Suspended"}.get(phase, ""), {})
    annotations = metadata.get("annotations") or {}
    return JobState(
        name=metadata["name"],
        created=metadata.get("creationTimestamp", ""),
        uid=metadata["uid"],
        phase=phase,
        since=condition.get("lastTransitionTime", metadata.get("creationTimestamp", "")),
        reason=condition.get("reason", ""),
        message=condition.get("message", ""),
        deleting="deletionTimestamp" in metadata,
        seen_by_controller=bool(status),
        kfp_run=(metadata.get("labels") or {}).get(KFP_RUN_LABEL, ""),
        spec_sha256=annotations.get(SPEC_ANNOTATION, ""),
        orphan_since=annotations.get(ORPHAN_ANNOTATION, ""),
    )


def _phase(true: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """Failed outweighs Complete: a controller that says both is not to be trusted with a success."""
    for condition, phase in (("Failed", "failed"), ("Complete", "complete"), ("Suspended", "queued")):
        if condition in true:
            return phase
    nodes = [item for item in status.get("jobsStatus") or [] if item.get("name") == NODE]
    return "running" if any(item.get("ready") or item.get("succeeded") for item in nodes) else "starting"


def pod_state(pod: Mapping[str, Any]) -> PodState:
    """Read a pod of the runtime's `node` job."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    container: Mapping[str, Any] = next(
        (item for item in status.get("containerStatuses") or [] if item.get("name") == NODE), {}
    )
    state = container.get("state") or {}
    terminated = state.get("terminated") or {}
    index = {**(metadata.get("annotations") or {}), **(metadata.get("labels") or {})}.get(INDEX, "0")
    return PodState(
        name=metadata["name"],
        created=metadata.get("creationTimestamp", ""),
        node=int(index),
        started="running" in state or "terminated" in state or bool(container.get("restartCount")),
        ended=status.get("phase") in {"Failed", "Succeeded"},
        restarts=container.get("restartCount", 0),
        exit_code=terminated.get("exitCode"),
        finished=terminated.get("finishedAt") or "",
        reason=status.get("reason") or terminated.get("reason") or "",
    )
