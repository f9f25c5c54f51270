"""Runs a recipe's steps on an S3 server through a faulty proxy, kills them, and writes as JSON what a reader saw.

    python s3_lab.py RECIPE LOCAL_RUN S3_RUN PROXY RESULT.json

Everything happens in forked children of one process that has loaded the libraries and done nothing else: a fork is
cheap, and a child can be killed anywhere.
"""

import contextlib
import gc
import itertools
import json
import os
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import deepspeed  # noqa: F401 - for the children
import great_expectations  # noqa: F401
import sklearn.cluster  # noqa: F401
from s3_proxy import Kill, control
from s3_steps import Step, all_steps, visible

import model.evaluation.predict
import model.training.stage  # noqa: F401
from data import object_client
from data.files import join

RATES = {"internal_error": 0.04, "slow_down": 0.04, "reset_before": 0.03, "torn_upload": 0.04, "error_after": 0.03}
RATES |= {"reset_after": 0.04, "torn_answer": 0.03, "torn_head": 0.03}
MOMENTS = ("before", "half", "after")
KILLED = ("gate", "filtering", "selection", "formatting", "packing/stage_1")  # at all moments of each write
KILLED_IN_TURN = ("sourcing/text-lines", "validation", "embedding", "augmentation", "tokenizer")  # at one of them
KILLED_IN_TURN += ("evaluation/stage_1", "promotion", "report")
KILLED_AT_RANDOM = ("stage_1_5",)  # goes on from its checkpoints, so it is killed here and there, again and again
TWICE = ("gate", "formatting", "tokenizer", "packing/stage_2")


def main() -> None:
    """The command line at the head of this file."""
    recipe, local, remote, proxy, result = sys.argv[1:]
    object_client.PATIENCE = object_client.Patience(read=2.0, first_pause=0.002, longest_pause=0.02)
    gc.freeze()  # a child that collects garbage would copy all of this process
    lab = Lab(proxy, all_steps(recipe, remote), remote)
    seen: dict[str, object] = {"local": _run(all_steps(recipe, local), local)}
    lab.reset(rates=RATES, seed=11, script=["silent"])
    seen["faulty"] = _run(lab.steps, remote)
    seen["faults"] = lab.faults()
    seen["killed"] = {name: lab.kill(name) for name in (*KILLED, *KILLED_IN_TURN)}
    seen["killed_at_random"] = {name: lab.kill(name) for name in KILLED_AT_RANDOM}
    seen["twice"] = {name: lab.run_twice_at_once(name) for name in TWICE}
    Path(result).write_text(json.dumps(seen))


def _run(steps: dict[str, Step], run_uri: str) -> dict[str, str]:
    """Run all steps in a child; the manifests' hashes by step."""

    def everything() -> None:
        for name, step in steps.items():
            step(join(run_uri, name))

    assert _outcome(_fork(everything)) == 0
    return {name: visible(join(run_uri, name)) for name in steps}


class Lab:
    """The steps of a finished run, done again elsewhere under worse conditions."""

    def __init__(self, proxy: str, steps: dict[str, Step], run_uri: str) -> None:
        self.proxy, self.steps, self.run_uri = proxy, steps, run_uri

    def reset(self, **settings: object) -> None:
        """Begin a case at the proxy."""
        control(self.proxy, "reset", settings)

    def faults(self) -> list[str]:
        """The faults met since the reset."""
        return [request["fault"] for request in control(self.proxy, "state") if request["fault"] != "pass"]

    def kill(self, name: str) -> dict[str, object]:
        """Run a step over what its killed forerunners left, killed at each write before, amid and after it.

        `seen` are the hashes visible after each kill, `end` the one after a last run that is let live.
        """
        folder, seen = join(self.run_uri + "-killed", name), []
        for write, moment in _points(name):
            if _outcome(_fork(lambda: self._doomed(name, folder, write, moment))) == 0:  # noqa: B023 - forked at once
                break  # it has fewer writes than that
            self.reset()
            seen.append(visible(folder))
        self.reset()
        assert _outcome(_fork(lambda: self.steps[name](folder))) == 0
        return {"seen": seen, "end": visible(folder)}

    def run_twice_at_once(self, name: str) -> str:
        """Two processes write the same step to the same folder at the same time, through faults."""
        folder = join(self.run_uri + "-twice", name)
        self.reset(rates=RATES, seed=12)
        children = [_fork(lambda: self.steps[name](folder)) for _ in range(2)]
        assert [_outcome(child) for child in children] == [0, 0]
        self.reset()
        return visible(folder)

    def _doomed(self, name: str, folder: str, write: int, moment: str) -> None:
        self.reset(kill=asdict(Kill(pid=os.getpid(), write=write, moment=moment)))
        self.steps[name](folder)


def _points(name: str) -> Iterator[tuple[int, str]]:
    """The writes (from 1) at which a step is killed, and when in each."""
    chance = random.Random(name)
    for number in itertools.count():
        if name in KILLED_AT_RANDOM:
            yield chance.randint(1, 8 + number), chance.choice(MOMENTS)  # ever later: in the end it gets through
        elif name in KILLED_IN_TURN:
            yield number + 1, MOMENTS[number % 3]
        else:
            yield number // 3 + 1, MOMENTS[number % 3]


def _fork(work: Callable[[], object]) -> int:
    """A child that does the work and ends."""
    if (child := os.fork()) != 0:
        return child
    code = 1
    with contextlib.suppress(BaseException):
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
    os._exit(code)


def _outcome(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main()
