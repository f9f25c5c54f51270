"""1,000 seeded schedules of faults, lives and interruptions, each against the real server by the real client.

What must hold whatever happens: one job at a time and none after a success; success only of a complete job; an error
only with its cause in the cluster's history; no line of the log twice; nothing left after cleaning up but others' jobs.
"""

import re
from dataclasses import dataclass
from random import Random

import pytest
from faulty_http import FAULTS
from trainjob_cases import KFP_RUN, STAGE, Time, manifest_for

from components.trainjob import run_trainjob
from components.trainjob_cleanup import WAITING, clean_up
from components.trainjob_manifest import KFP_RUN_LABEL
from components.trainjob_patience import Patience
from data.errors import AerieError

SCHEDULES, GROUPS = 1000, 20
OTHER_RUN = "0b7c2f0e-0000-4000-8000-00000000000b"
MIDDLES = (
    ["evict", "replace", "run"],
    ["queue", "wait", "admit", "run"],
    ["restart"],
    ["wait"],
    [["print", 40]],
)
# A slow answer costs the client's timeout in real time, so few schedules have one.
WEATHERS = ((0.0, 0.0), (0.03, 0.0), (0.03, 0.005), (0.06, 0.0), (0.09, 0.0))


@dataclass
class Accidents:
    """At which of its sleeps a launcher's pod dies, and at which its run is ended under it (0: never)."""

    dies: int = 0
    ended: int = 0
    note: str = ""


class InterruptedLauncherError(BaseException):
    """The launcher's pod is gone, in the middle of whatever it did."""


def draw_life(random, end=None):
    if end is None and random.random() < 0.1:
        return random.choice([[["fail", 1, 0]], ["vanish"], ["complete"]])
    life = ["wait"] * random.randrange(2) + random.choice([[], ["queue"], ["queue", "wait"]]) + ["admit", "run"]
    for _ in range(random.randrange(3)):
        life += [["print", random.randrange(4)], *random.choice(MIDDLES)]
    end = end or random.choices(["complete", "vanish", "fail"], [6, 3, 2])[0]
    failure = ["fail", random.choice([1, 75, 137]), random.randrange(2)]
    return [*life, ["print", 2], {"fail": failure, "complete": ["finish", 2]}.get(end, end)]


def draw_case(seed):
    random = Random(seed)
    each, slow = random.choice(WEATHERS)
    rates = {fault: slow if fault == "slow" else each for fault in FAULTS}
    existing = []
    if random.random() < 0.4:
        changes = {"cpu": "48"} if random.random() < 0.15 else {}
        manifest = manifest_for(kfp_run=random.choice([KFP_RUN, OTHER_RUN]), **changes)
        life = draw_life(random)
        existing = [{"manifest": manifest, "life": life, "looks": random.randrange(len(life) + 3)}]
    lives = [draw_life(random), draw_life(random), draw_life(random), draw_life(random, "complete")]
    settings = {"lives": lives, "existing": existing, "delete_looks": random.randrange(1, 5)}
    accidents = random.choices([(0, 0), (12, 0), (0, 12)], [6, 2, 2])[0]
    dies, ended = (random.randrange(1, most) if most else 0 for most in accidents)
    return {"seed": seed, "rates": rates, **settings}, Accidents(dies=dies, ended=ended)


def interrupt():
    raise InterruptedLauncherError


def clean(cluster):
    time = Time()
    patience = Patience(where="clean up", sleep=time.sleep, clock=lambda: time.now, waiting=WAITING)
    clean_up(cluster, KFP_RUN, patience, lambda _: None)


def play(cluster, seed, accidents):
    """Launch, after a death once more; returns the error or None."""

    def end_run():
        accidents.note = "ended"
        clean(cluster)

    last = Time(at={accidents.ended: end_run})
    for time in [Time(at={accidents.dies: interrupt}), last] if accidents.dies else [last]:
        try:
            run_trainjob(manifest_for(), STAGE, cluster, lambda: accidents.note, time.patience(seed))
        except InterruptedLauncherError:
            continue
        except AerieError as error:
            return str(error)
        else:
            return None
    raise AssertionError("the second launcher is never interrupted")


def of_kind(history, kind):
    return [uid for found, uid in history if found == kind]


def check_creations(history, existed, launchers, calm):
    """Never beside another job, never after a success, and no more often than failures and deletions explain."""
    created, alive, succeeded = of_kind(history, "created"), "", False
    for kind, uid in history:
        if kind == "created":
            assert not alive, "two jobs at once"
            assert not succeeded, "trained again after a success"
        alive = uid if kind == "created" else "" if kind == "gone" else alive
        succeeded = succeeded or kind == "complete"
    assert len(created) - existed <= 3 * launchers
    if existed or launchers > 1:
        return
    kinds = [kind for kind, _ in history]
    assert "failed" not in kinds or "created" not in kinds[kinds.index("failed") :], "our own failure was tried again"
    if calm:
        assert len(created) <= 2, "restored more than once"


def check_success(state, accidents):
    """What was launched last is complete, is the job that was asked for, and is this run's now."""
    assert of_kind(state["history"], "complete") == of_kind(state["history"], "created")[-1:]
    for body in [] if accidents.note else state["alive"].values():
        assert body["spec"] == manifest_for()["spec"]
        assert body["metadata"]["labels"][KFP_RUN_LABEL] == KFP_RUN


def check_error(error, history, case, accidents):
    """The error names something that did happen and that the launcher must not repair."""
    created, failed = of_kind(history, "created"), of_kind(history, "failed")
    vanished = [uid for uid in of_kind(history, "gone") if uid not in failed]
    if "another specification" in error:
        assert case["existing"][0]["manifest"]["spec"] != manifest_for()["spec"]
    elif "the run has ended" in error:
        assert accidents.note
    elif "deleted twice" in error:
        assert len(vanished) >= 2
    elif "took the job over" in error:
        assert case["existing"]
        assert case["existing"][0]["manifest"]["metadata"]["labels"][KFP_RUN_LABEL] == OTHER_RUN
        assert vanished
    else:
        assert "failed: FailedJobs" in error
        assert failed[-1:] == created[-1:]
    assert not of_kind(history, "complete") or "another specification" in error or accidents.note


def check_log(out):
    """Unique lines come at most once and in their order."""
    numbers = [int(number) for number in re.findall(r"^stage  line (\d+)$", out, re.MULTILINE)]
    assert numbers == sorted(set(numbers))
    return numbers


@pytest.mark.parametrize("group", range(GROUPS))
def test_schedules(api_server, cluster, capsys, group):
    for seed in range(group, SCHEDULES, GROUPS):
        case, accidents = draw_case(seed)
        api_server.reset(**case)
        error = play(cluster, seed, accidents)
        state, calm = api_server.state(), not any(case["rates"].values())
        history = state["history"]
        assert set(state["jobs"]) <= {manifest_for()["metadata"]["name"]}
        check_creations(history, len(case["existing"]), 1 + bool(accidents.dies), calm)
        check_success(state, accidents) if error is None else check_error(error, history, case, accidents)
        out = capsys.readouterr().out
        numbers = [] if accidents.dies else check_log(out)  # a second launcher has another log
        if calm and error is None and not accidents.dies and not case["existing"] and len(history) == 2:
            assert len(numbers) == len(state["printed"]), "a line was lost"
        if not accidents.note:
            clean(cluster)
        left = [body["metadata"]["labels"][KFP_RUN_LABEL] for body in api_server.state()["alive"].values()]
        assert KFP_RUN not in left, f"seed {seed}: an orphan"


def test_the_schedules_reach_what_they_are_for():
    """The drawn cases hold every fault, every end, existing jobs and interruptions: none of the checks is idle."""
    cases = [draw_case(seed) for seed in range(SCHEDULES)]
    lives = [str(life) for case, _ in cases for life in case["lives"]]
    assert sum(accidents.dies > 0 for _, accidents in cases) > 150
    assert sum(accidents.ended > 0 for _, accidents in cases) > 150
    assert sum(bool(case["existing"]) for case, _ in cases) > 300
    for event in ("vanish", "fail", "finish", "evict", "queue", "restart"):
        assert sum(event in life for life in lives) > 100, event
    for fault in FAULTS:
        assert sum(case["rates"][fault] > 0 for case, _ in cases) > 100, fault
    assert sum(not any(case["rates"].values()) for case, _ in cases) > 100
