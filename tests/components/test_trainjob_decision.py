"""What a launcher does next, as a table; and how conditions and pods are read."""

import pytest

from components.trainjob_decision import Action, Goal, Memory, decide
from components.trainjob_failure import ending, first_failed
from components.trainjob_state import JobState, PodState, job_state, pod_state

GOAL = Goal(spec_sha256="spec", kfp_run="ours")
WATCHED = Memory(uid="1", kfp_run="ours")


def job(phase="running", uid="1", **values):
    return JobState(**{"name": "j", "uid": uid, "phase": phase, "kfp_run": "ours", "spec_sha256": "spec", **values})


TABLE = {
    "nothing there": (Memory(), None, Action.CREATE),
    "the create's answer was lost, and the job too": (Memory(asked=True), None, Action.CREATE),
    "ours runs": (WATCHED, job(), Action.WAIT),
    "ours is queued": (WATCHED, job("queued"), Action.WAIT),
    "ours is complete": (WATCHED, job("complete"), Action.SUCCEED),
    "ours failed": (WATCHED, job("failed"), Action.FAIL),
    "ours failed while its create's answer was lost": (Memory(asked=True), job("failed"), Action.FAIL),
    "one was there": (Memory(), job(), Action.WAIT),
    "another run's was there": (Memory(), job(kfp_run="theirs"), Action.ADOPT),
    "another run's, complete": (Memory(), job("complete", kfp_run="theirs"), Action.ADOPT),
    "another run took ours over": (WATCHED, job(kfp_run="theirs"), Action.WAIT),
    "another run took ours over, and it is gone": (Memory(uid="1", kfp_run="theirs"), None, Action.FAIL),
    "it failed before us": (Memory(), job("failed"), Action.DELETE),
    "it failed before us, the delete was lost": (Memory(uid="1", replacing="1"), job("failed"), Action.DELETE),
    "it failed before us and goes": (Memory(uid="1", replacing="1"), job("failed", deleting=True), Action.WAIT),
    "it failed before us and is gone": (Memory(uid="1", replacing="1"), None, Action.CREATE),
    "the second one failed": (Memory(replaced=True, asked=True), job("failed", "2"), Action.FAIL),
    "another specification": (Memory(), job(spec_sha256="x"), Action.FAIL),
    "another specification, on its way out": (Memory(), job(spec_sha256="x", deleting=True), Action.WAIT),
    "another specification, complete, on its way out": (
        Memory(),
        job("complete", spec_sha256="x", deleting=True),
        Action.WAIT,
    ),
    "deleted under us, still there": (WATCHED, job(deleting=True), Action.WAIT),
    "deleted under us": (WATCHED, None, Action.CREATE),
    "deleted under us again": (Memory(uid="2", kfp_run="ours", restored=True), None, Action.FAIL),
    "on its way out when we came": (Memory(), job(deleting=True), Action.WAIT),
    "complete and deleted": (WATCHED, job("complete", deleting=True), Action.SUCCEED),
    "failed and deleted": (WATCHED, job("failed", deleting=True), Action.FAIL),
    "replaced by somebody between two looks": (WATCHED, job(uid="2", kfp_run="theirs"), Action.ADOPT),
}


@pytest.mark.parametrize(("memory", "seen", "action"), TABLE.values(), ids=TABLE)
def test_next_step(memory, seen, action):
    step = decide(memory, seen, GOAL)
    assert step.action is action
    assert step.action is not Action.FAIL or step.why or seen.phase == "failed"


def test_an_adopted_job_is_not_taken_back():
    memory = decide(Memory(), job(kfp_run="theirs"), GOAL).memory
    memory = decide(memory, job(), GOAL).memory
    assert decide(memory, job(kfp_run="theirs"), GOAL).action is Action.WAIT


def test_a_job_deleted_before_we_saw_it_alive_is_restored_once_as_well():
    memory = decide(Memory(asked=True), job(deleting=True), GOAL).memory
    step = decide(memory, None, GOAL)
    assert (step.action, step.memory.restored) == (Action.CREATE, True)
    memory = decide(step.memory, job(uid="2", deleting=True), GOAL).memory
    assert decide(memory, None, GOAL).action is Action.FAIL


def test_the_memory_of_a_lost_job_allows_one_restoration():
    step = decide(WATCHED, None, GOAL)
    assert step.memory.restored
    again = decide(step.memory, job(uid="2"), GOAL).memory
    assert decide(again, None, GOAL).action is Action.FAIL


def condition(kind, status="True"):
    return {"type": kind, "status": status, "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:09Z"}


PHASES = {
    "no status": ({}, "starting"),
    "suspended": ({"conditions": [condition("Suspended")]}, "queued"),
    "resumed": ({"conditions": [condition("Suspended", "False")]}, "starting"),
    "ready": ({"jobsStatus": [{"name": "node", "ready": 1}]}, "running"),
    "another job is ready": ({"jobsStatus": [{"name": "initializer", "ready": 1}]}, "starting"),
    "pods active": ({"jobsStatus": [{"name": "node", "active": 1, "ready": 0}]}, "starting"),
    "complete": ({"conditions": [condition("Suspended", "False"), condition("Complete")]}, "complete"),
    "not complete": ({"conditions": [condition("Complete", "False")]}, "starting"),
    "unknown": ({"conditions": [condition("Complete", "Unknown")]}, "starting"),
    "failed": ({"conditions": [condition("Failed")]}, "failed"),
    "complete and failed": ({"conditions": [condition("Complete"), condition("Failed")]}, "failed"),
    "suspended and failed": ({"conditions": [condition("Suspended"), condition("Failed")]}, "failed"),
    "all pods succeeded, no word of completion": ({"jobsStatus": [{"name": "node", "succeeded": 1}]}, "running"),
}


@pytest.mark.parametrize(("status", "phase"), PHASES.values(), ids=PHASES)
def test_only_conditions_tell_success_and_failure(status, phase):
    seen = job_state({"metadata": {"name": "j", "uid": "1"}, "status": status})
    assert seen.phase == phase
    assert seen.over == (phase in {"complete", "failed"})
    assert seen.seen_by_controller == bool(status)


def pod(phase="Running", state=None, restarts=0, **status):
    container = {"name": "node", "restartCount": restarts, "state": state or {}}
    sidecar = {"name": "sidecar", "restartCount": 7, "state": {"terminated": {"exitCode": 3}}}
    labels = {"batch.kubernetes.io/job-completion-index": "5"}
    status |= {"phase": phase, "containerStatuses": [sidecar, container]}
    return pod_state({"metadata": {"name": "p", "labels": labels}, "status": status})


def test_pods_are_read_by_their_training_container():
    waiting = pod("Pending", {"waiting": {}})
    assert (waiting.node, waiting.started, waiting.ended, waiting.failed) == (5, False, False, False)
    assert pod(state={"running": {}}).started
    assert pod(state={"waiting": {}}, restarts=1).started
    assert not pod("Succeeded", {"terminated": {"exitCode": 0}}).failed
    assert pod("Failed", reason="Evicted").failed
    assert pod_state({"metadata": {"name": "p"}}).node == 0


ENDINGS = {
    "exit": ({"terminated": {"exitCode": 1, "reason": "Error"}}, "", "exited with 1"),
    "memory": (
        {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        "",
        "exited with 137, SIGKILL (OOMKilled)",
    ),
    "evicted": ({"terminated": {"exitCode": 143, "reason": "Error"}}, "Evicted", "exited with 143, SIGTERM (Evicted)"),
    "lost": ({}, "NodeLost", "ended: NodeLost"),
    "nothing known": ({}, "", "ended: without an exit code"),
}


@pytest.mark.parametrize(("state", "reason", "text"), ENDINGS.values(), ids=ENDINGS)
def test_endings_in_words(state, reason, text):
    assert ending(pod("Failed", state, reason=reason)) == text


def test_the_pod_that_ended_first_is_the_culprit():
    def ended(name, finished, code=1):
        return PodState(name=name, created="", node=0, started=True, ended=True, exit_code=code, finished=finished)

    pods = [ended("late", "2026-01-01T00:00:09Z"), ended("never told", ""), ended("fine", "2026", 0)]
    pods.append(ended("early", "2026-01-01T00:00:01Z"))
    assert [found.name for found in first_failed(pods)] == ["early", "late", "never told"]
