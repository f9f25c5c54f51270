"""Wires the reaper: TrainJobs from the cluster, run states from KFP, one line for each decision."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from components.trainjob_patience import Patience
from components.trainjob_reaper import GRACE, LIFETIME, MarkableJobs, reap
from components.trainjob_state import JobState
from data.errors import AerieError
from pipelines.kfp_client import KfpApi
from pipelines.runs import UUID, read_run

HEALTH = "/apis/v2beta1/healthz"
UNKNOWN = "not a run of KFP"  # no state that ends a run, so the job stays


class Observed:
    """The cluster as it is, remembering the jobs that it showed; a dry run changes nothing."""

    def __init__(self, cluster: MarkableJobs, dry_run: bool) -> None:
        self.namespace, self._cluster, self._dry_run = cluster.namespace, cluster, dry_run
        self.seen: list[JobState] = []

    def jobs(self, selector: str) -> list[JobState]:
        """The jobs with these labels."""
        self.seen = self._cluster.jobs(selector)
        return self.seen

    def mark_orphan(self, job: JobState, since: str) -> None:
        """Remember since when a job is an orphan."""
        if not self._dry_run:
            self._cluster.mark_orphan(job, since)

    def delete(self, job: JobState) -> None:
        """Begin a deletion."""
        if not self._dry_run:
            self._cluster.delete(job)


def reap_orphans(
    api: KfpApi,
    cluster: MarkableJobs,
    now: datetime,
    patience: Patience,
    say: Callable[[str], Any],
    dry_run: bool = False,
    grace: timedelta = GRACE,
    lifetime: timedelta = LIFETIME,
) -> int:
    """Judge all of Aerie's TrainJobs; returns how many were deleted. `AerieError`, and nothing done, without KFP."""
    check_kfp(api)
    observed, states, told = Observed(cluster, dry_run), {}, []

    def run_state(kfp_run: str) -> str | None:
        run = read_run(api, kfp_run) if UUID.fullmatch(kfp_run) else None
        states[kfp_run] = (run.state if run else None) if UUID.fullmatch(kfp_run) else UNKNOWN
        return states[kfp_run]

    def tell(line: str) -> None:
        told.append(line)
        say(f"dry run, nothing is changed: {line}" if dry_run else line)

    deleted = reap(observed, run_state, now, patience, tell, grace, lifetime)
    for job in observed.seen:
        if not any(line.startswith((f"TrainJob {job.name}:", f"TrainJob {job.name} ")) for line in told):
            state = states.get(job.kfp_run) or ("unknown to KFP" if job.kfp_run else "none")
            say(f"TrainJob {job.name} stays: {'being deleted' if job.deleting else job.phase}, KFP run {state}")
    say(f"{len(observed.seen)} TrainJobs in namespace {observed.namespace}, {0 if dry_run else deleted} deleted")
    return deleted


def check_kfp(api: KfpApi) -> None:
    """Whoever answers must be KFP: to another server's "not found" every job would look like an orphan."""
    health = api.insist("GET", HEALTH)
    if "multi_user" not in health:
        raise AerieError(f"{api.endpoint.url} is no KFP API server ({HEALTH} says {sorted(health)}); check --endpoint")
