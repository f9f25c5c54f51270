"""Finds TrainJobs that nobody waits for any more: the net below the exit handlers, which can be killed too.

    KFP run ended or unknown ---- marked with the time; deleted when the mark is older than a grace period
    finished long ago ----------- deleted (a TrainJob has no lifetime of its own)
    everything else ------------- left alone, and an old mark is taken back

A KFP API that can't be reached condemns nobody: states are asked for first, and an error ends the reaper there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from components.trainjob_cleanup import Jobs, delete_job, selector, unless_gone
from components.trainjob_patience import Patience
from components.trainjob_state import JobState

ENDED = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
GRACE, LIFETIME = timedelta(hours=1), timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do with each job: delete (with the reason), mark as an orphan since now, or take an old mark back."""

    delete: tuple[tuple[JobState, str], ...] = ()
    mark: tuple[JobState, ...] = ()
    unmark: tuple[JobState, ...] = ()


def orphans(
    jobs: Sequence[JobState],
    run_states: Mapping[str, str | None],
    now: datetime,
    grace: timedelta = GRACE,
    lifetime: timedelta = LIFETIME,
) -> Verdict:
    """Judge the jobs; `run_states` holds each KFP run's state, None where KFP doesn't know the run."""
    delete, mark, unmark = [], [], []
    for job in jobs:
        if job.deleting:
            continue
        known = job.kfp_run in run_states
        orphan = known and (run_states[job.kfp_run] is None or run_states[job.kfp_run] in ENDED)
        if job.over and now - _time(job.since) > lifetime:
            delete.append((job, f"{job.phase} since {job.since}"))
        elif orphan and job.orphan_since and now - _time(job.orphan_since) > grace:
            state = run_states[job.kfp_run] or "unknown to KFP"
            delete.append((job, f"its KFP run {job.kfp_run} is {state}, seen first at {job.orphan_since}"))
        elif orphan and not job.orphan_since:
            mark.append(job)
        elif known and not orphan and job.orphan_since:
            unmark.append(job)
    return Verdict(delete=tuple(delete), mark=tuple(mark), unmark=tuple(unmark))


class MarkableJobs(Jobs, Protocol):
    """The cluster, as far as the reaper uses it."""

    def mark_orphan(self, job: JobState, since: str) -> None:
        """Remember since when a job is an orphan; "" takes it back."""


def reap(
    cluster: MarkableJobs,
    run_state: Callable[[str], str | None],
    now: datetime,
    patience: Patience,
    say: Callable[[str], Any],
    grace: timedelta = GRACE,
    lifetime: timedelta = LIFETIME,
) -> int:
    """Judge all of Aerie's TrainJobs in the namespace and carry it out; returns how many were deleted.

    `run_state` tells a KFP run's state, None for one that KFP doesn't know, and raises when KFP can't be reached.
    """
    jobs = patience.insist(lambda: cluster.jobs(selector()))
    states = {run: run_state(run) for run in sorted({job.kfp_run for job in jobs if job.kfp_run})}
    verdict = orphans(jobs, states, now, grace, lifetime)
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for job in verdict.mark:
        say(f"TrainJob {job.name}: KFP run {job.kfp_run} is over; it has {grace} to be cleaned up")
        _mark(cluster, job, stamp, patience)
    for job in verdict.unmark:
        _mark(cluster, job, "", patience)
    for job, why in verdict.delete:
        say(f"TrainJob {job.name} is deleted: {why}")
        delete_job(cluster, job, patience)
    return len(verdict.delete)


def _mark(cluster: MarkableJobs, job: JobState, since: str, patience: Patience) -> None:
    patience.insist(lambda: unless_gone(lambda: cluster.mark_orphan(job, since)))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
