"""Deletes the TrainJobs of a KFP run that has ended, however it ended."""

from collections.abc import Callable
from typing import Protocol

from components.trainjob_ended import note_end
from components.trainjob_manifest import KFP_RUN_LABEL, OURS, label_value
from components.trainjob_patience import ClusterError, Patience, Waiting
from components.trainjob_state import JobState

GONE_OR_ANOTHER = {404, 409}
WAITING = Waiting(poll=2.0, give_up_after=600.0)


class Jobs(Protocol):
    """The cluster, as far as cleaning up uses it; every method may raise ClusterError."""

    namespace: str

    def jobs(self, selector: str) -> list[JobState]:
        """The jobs with these labels."""

    def delete(self, job: JobState) -> None:
        """Begin a foreground deletion."""


def selector(kfp_run: str = "") -> str:
    """All of Aerie's TrainJobs, or those of one KFP run."""
    labels = {**OURS, KFP_RUN_LABEL: label_value(kfp_run)} if kfp_run else OURS
    return ",".join(f"{name}={value}" for name, value in labels.items())


def clean_up(cluster: Jobs, kfp_run: str, patience: Patience, say: Callable[[str], None]) -> int:
    """Delete what a KFP run launched; returns how many jobs that were. Repeating it is harmless.

    Returns when every deletion has begun, pods first: from then on Kubernetes finishes it by itself.
    """
    deleted: set[str] = set()
    while left := [job for job in patience.insist(lambda: _jobs(cluster, kfp_run)) if not job.deleting]:
        if deleted.issuperset(job.uid for job in left):
            patience.rest()  # asked for already, and not yet to be seen
        for job in left:
            say(f"deletes TrainJob {cluster.namespace}/{job.name}, {job.phase}")
            delete_job(cluster, job, patience)
            deleted.add(job.uid)
    return len(deleted)


def delete_job(cluster: Jobs, job: JobState, patience: Patience) -> None:
    """Begin to delete one job, unless it is gone already or another has its name by now."""
    patience.insist(lambda: unless_gone(lambda: cluster.delete(job)))


def unless_gone(ask: Callable[[], None]) -> None:
    """Change a job; nothing to do when it is gone, or when the name belongs to another by now."""
    try:
        ask()
    except ClusterError as error:
        if error.status not in GONE_OR_ANOTHER:
            raise


def _jobs(cluster: Jobs, kfp_run: str) -> list[JobState]:
    try:
        return cluster.jobs(selector(kfp_run))
    except ClusterError as error:
        if error.status == 404:
            return []  # a cluster without the TrainJob kind
        raise


def end_of_run(storage_uri: str, run_id: str, kfp_run_id: str, training_runtime: str, state: str) -> None:
    """What the exit handler does; `state` is KFP's: COMPLETE or FAILED on a cluster, SUCCEEDED or FAILED locally.

    Exits with status 1 and one message when the jobs can't be deleted: somebody must look, and the reaper will.
    """
    from components.trainjob import connect, say_masked
    from data.errors import AerieError
    from data.files import join

    print(f"run {run_id} ended as {state}", flush=True)
    if not training_runtime or not kfp_run_id:
        return
    try:
        note_end(join(storage_uri, run_id), kfp_run_id, state)
    except OSError as error:
        print(f"the end can't be noted in {storage_uri}: {error}", flush=True)  # the jobs must go all the same
    try:
        cluster = connect()
        where = f"cleaning up after KFP run {kfp_run_id} in namespace {cluster.namespace}"
        number = clean_up(cluster, kfp_run_id, Patience.real(where, WAITING), say_masked(cluster))
    except AerieError as error:
        raise SystemExit(f"{error}\nits TrainJobs may still hold GPUs until the reaper comes") from None
    print(f"{number} TrainJobs were left to delete", flush=True)
