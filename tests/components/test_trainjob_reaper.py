"""Which TrainJobs nobody waits for, as a table; and the reaper against the real server."""

from datetime import UTC, datetime, timedelta

import pytest
from faulty_http import FAULTS
from trainjob_cases import KFP_RUN, Time, manifest_for

from components.trainjob_reaper import orphans, reap
from components.trainjob_state import JobState

NOW = datetime(2026, 1, 10, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def ago(span):
    return (NOW - span).isoformat()


def job(phase="running", **values):
    return JobState(**{"name": "j", "uid": "1", "phase": phase, "since": ago(HOUR), "kfp_run": "run", **values})


TABLE = {
    "its run goes on": (job(), "RUNNING", ""),
    "its run waits": (job("queued"), "PENDING", ""),
    "its run is being cancelled: the exit handler comes": (job(), "CANCELING", ""),
    "its run is paused": (job(), "PAUSED", ""),
    "its run ended just now": (job(), "SUCCEEDED", "mark"),
    "its run failed just now": (job(), "FAILED", "mark"),
    "its run was cancelled": (job("queued"), "CANCELED", "mark"),
    "KFP doesn't know its run": (job(), None, "mark"),
    "marked lately": (job(orphan_since=ago(HOUR / 2)), "FAILED", ""),
    "marked long ago": (job(orphan_since=ago(2 * HOUR)), "FAILED", "delete"),
    "unknown for long": (job(orphan_since=ago(2 * HOUR)), None, "delete"),
    "queued and marked long ago": (job("queued", orphan_since=ago(2 * HOUR)), "CANCELED", "delete"),
    "marked, and its run goes on": (job(orphan_since=ago(2 * HOUR)), "RUNNING", "unmark"),
    "marked, and adopted by a run that goes on": (job(kfp_run="new", orphan_since=ago(DAY)), "FAILED", ""),
    "going already": (job(orphan_since=ago(2 * HOUR), deleting=True), "FAILED", ""),
    "complete lately, its run goes on": (job("complete"), "RUNNING", ""),
    "complete long ago": (job("complete", since=ago(8 * DAY)), "RUNNING", "delete"),
    "failed long ago": (job("failed", since=ago(8 * DAY)), "RUNNING", "delete"),
    "running for long": (job(since=ago(30 * DAY)), "RUNNING", ""),
    "launched without KFP": (job(kfp_run=""), "FAILED", ""),
    "launched without KFP, complete long ago": (job("complete", kfp_run="", since=ago(8 * DAY)), "FAILED", "delete"),
}


@pytest.mark.parametrize(("seen", "state", "action"), TABLE.values(), ids=TABLE)
def test_verdict(seen, state, action):
    verdict = orphans([seen], {"run": state}, NOW)
    found = {"delete": [job for job, _ in verdict.delete], "mark": list(verdict.mark), "unmark": list(verdict.unmark)}
    assert found == {name: [seen] if name == action else [] for name in found}


def running(kfp_run=KFP_RUN):
    return [{"manifest": manifest_for(kfp_run=kfp_run), "life": ["admit", "run"], "looks": 2}]


def reaped(cluster, state, now=NOW):
    said = []
    return reap(cluster, lambda run: state, now, Time().patience(), said.append), said


def test_an_orphan_is_marked_first_and_deleted_after_the_grace_period(api_server, cluster):
    api_server.reset(existing=running())
    assert reaped(cluster, "CANCELED")[0] == 0
    assert len(api_server.state()["alive"]) == 1
    assert reaped(cluster, "CANCELED", NOW + HOUR / 2)[0] == 0
    number, said = reaped(cluster, "CANCELED", NOW + 2 * HOUR)
    assert number == 1
    assert "is CANCELED, seen first at 2026-01-10T00:00:00Z" in said[-1]
    assert not api_server.state()["alive"]


def test_a_run_that_goes_on_after_all_takes_its_mark_back(api_server, cluster):
    api_server.reset(existing=running())
    for state, hours in ((None, 0), ("RUNNING", 2), (None, 4)):
        assert reaped(cluster, state, NOW + hours * HOUR)[0] == 0
    (body,) = api_server.state()["alive"].values()
    assert body["metadata"]["annotations"]["aerie.dev/orphan-since"] == "2026-01-10T04:00:00Z"


def test_kfp_out_of_reach_condemns_nobody(api_server, cluster):
    api_server.reset(existing=running())
    reaped(cluster, "CANCELED")

    def out_of_reach(run):
        raise ConnectionError("KFP")

    with pytest.raises(ConnectionError):
        reap(cluster, out_of_reach, NOW + 5 * DAY, Time().patience(), print)
    assert len(api_server.state()["alive"]) == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_doesnt_stop_the_reaper(api_server, cluster, fault):
    marked = running()
    marked[0]["manifest"]["metadata"]["annotations"]["aerie.dev/orphan-since"] = ago(DAY)
    api_server.reset(existing=marked, script=[fault, "pass", fault, "pass", fault, "pass"])
    assert reaped(cluster, "FAILED")[0] == 1
    assert not api_server.state()["alive"]


def test_jobs_of_others_are_not_even_seen(api_server, cluster):
    others = running()
    others[0]["manifest"]["metadata"]["labels"]["app.kubernetes.io/part-of"] = "another-project"
    api_server.reset(existing=others)
    assert reaped(cluster, None, NOW + 99 * DAY) == (0, [])
