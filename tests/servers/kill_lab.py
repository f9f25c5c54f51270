"""Runs a recipe's data steps on a local disk, kills them at writes and at random times, and tells what a reader saw.

    python kill_lab.py RECIPE FOLDER RESULT.json

Everything happens in forked children of one process that has loaded the libraries and done nothing else
(`killed_child`).
"""

import contextlib
import gc
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import faiss  # noqa: F401 - for the children
import great_expectations  # noqa: F401
import sklearn.cluster  # noqa: F401
import timm  # noqa: F401
from data_steps import data_steps, visible
from killed_child import MOMENTS, doomed, fork, live, outcome
from transformers import AutoModel, AutoTokenizer, BertModel  # noqa: F401

ONCE = ("embedding", "validation")  # slow ones: killed at one moment of each write, the others at all three
TIMES, SEED = 10, 20


def main() -> None:
    """The command line at the head of this file."""
    recipe, folder, result = sys.argv[1:]
    gc.freeze()  # a child that collects garbage would copy all of this process
    whole = f"{folder}/whole"
    begun = time.monotonic()
    live(lambda: _run(recipe, whole))
    seconds = time.monotonic() - begun
    names = list(data_steps(recipe, whole))
    seen = {
        "whole": {name: visible(f"{whole}/{name}") for name in names},
        "written": {name: _kill_at_writes(recipe, whole, f"{folder}/killed", name) for name in names},
        "timed": _kill_at_times(recipe, f"{folder}/timed", names, seconds),
    }
    Path(result).write_text(json.dumps(seen))


def _run(recipe: str, run: str) -> None:
    for name, step in data_steps(recipe, run).items():
        step(f"{run}/{name}")


def _kill_at_writes(recipe: str, run: str, killed: str, name: str) -> dict[str, Any]:
    """One step over what its killed forerunners left, killed before, amid and after each write, then let live."""
    step, folder, seen = data_steps(recipe, run)[name], f"{killed}/{name}", []
    shutil.rmtree(folder, ignore_errors=True)
    for number in range(1000):
        write, moment = (number, MOMENTS[number % 3]) if name in ONCE else (number // 3, MOMENTS[number % 3])
        if outcome(fork(lambda: doomed(step, folder, write, moment))) == 0:  # noqa: B023 - forked at once
            break  # it has fewer writes than that, or was already done
        seen.append(visible(folder))
    live(lambda: step(folder))
    return {"seen": seen, "end": visible(folder)}


def _kill_at_times(recipe: str, run: str, names: list[str], seconds: float) -> dict[str, Any]:
    """The chain of all steps, killed after seeded times that grow, since it has ever less left to do; then let live."""
    chance, kills, seen = random.Random(SEED), 0, []
    for attempt in range(TIMES):
        child = fork(lambda: _run(recipe, run))
        time.sleep(chance.uniform(0, min(seconds / 3, 0.1 * 1.4**attempt)))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        kills += outcome(child) == -signal.SIGKILL
        seen.append({name: visible(f"{run}/{name}") for name in names})
    live(lambda: _run(recipe, run))
    return {"kills": kills, "seen": seen, "end": {name: visible(f"{run}/{name}") for name in names}}


if __name__ == "__main__":
    main()
