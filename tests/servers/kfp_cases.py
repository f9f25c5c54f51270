"""What the tests of `aerie submit` and its neighbours share: a client in virtual time that can be killed, a release."""

from random import Random
from typing import Any

from virtual_time import VirtualTime

from pipelines.kfp_client import KfpApi, Pace
from pipelines.kfp_endpoint import Endpoint
from pipelines.release import Release

TOKEN = "kfp-token-that-nobody-may-see"
PIPELINE, VERSION = "aerie-end-to-end", "end-to-end-0123456789ab"
STRINGS = ("recipe_uri", "recipe_sha256", "storage_uri", "run_id", "training_runtime")
PARAMETERS = {**dict.fromkeys(STRINGS, "STRING"), "sources": "LIST"}
SYNCED = [{"pipeline": PIPELINE, "version": VERSION, "parameters": PARAMETERS}]


RUN_ID, OTHER_ID = "0b7c2f0e-0000-4000-8000-00000000000a", "0b7c2f0e-0000-4000-8000-00000000000b"


class Killed(BaseException):
    """The process died here."""


class TimedApi(KfpApi):
    """The real client in virtual time; the `kill_at`-th request is its last, which the server may still see."""

    def __init__(self, endpoint: Endpoint, time: VirtualTime, seed: int = 0, kill_at: int = 0) -> None:
        pace = Pace(sleep=time.sleep, clock=time.clock, random=Random(seed))
        super().__init__(endpoint, pace, read_seconds=0.1)
        self._time, self._left, self._sends_last = time, kill_at, Random(seed).random() < 0.5

    def headers(self) -> dict[str, str]:
        return {**super().headers(), "X-Test-Now": str(self._time.now)}

    def fetch(self, *arguments: Any, **keywords: Any) -> bytes:
        self._left -= 1
        if self._left == 0:
            if self._sends_last:
                super().fetch(*arguments, **keywords)
            raise Killed
        return super().fetch(*arguments, **keywords)


def release_of(recipe_sha256: str, dataset_version: str) -> Release:
    """A release of SYNCED's version."""
    return Release(
        pipeline=PIPELINE,
        version=VERSION,
        recipe="recipe.yaml",
        recipe_sha256=recipe_sha256,
        dataset_version=dataset_version,
        images={},
    )


def run(run_id: str = RUN_ID, name: str = "tiny-0b7c2f0e", state: str = "RUNNING", **fields: Any) -> dict[str, Any]:
    """A run in KFP's JSON."""
    return {"run_id": run_id, "display_name": name, "state": state, **fields}


def graph(wf: str = "aerie-end-to-end-x7k2p") -> list[dict[str, Any]]:
    """task_details of a run in which stage-1 failed at its second try, as Argo's nodes become KFP's tasks.

    Children are what is inside and what comes afterwards; 1970 is a time that hasn't come.
    """
    nodes = [
        # number, name, state, first and last second, children
        (0, wf, "FAILED", 0, 500, [1]),
        (1, "root-driver", "SUCCEEDED", 1, 9, [2]),
        (2, "root", "FAILED", 10, 499, [3]),
        (3, "validation-driver", "SUCCEEDED", 11, 20, [4]),
        (4, "validation", "SUCCEEDED", 21, 90, [5]),
        (5, "executor", "SUCCEEDED", 22, 90, [6]),
        (6, "stage-1-driver", "SUCCEEDED", 91, 99, [7]),
        (7, "stage-1", "FAILED", 100, 450, [8]),
        (8, "executor", "FAILED", 101, 450, [9, 10]),
        (9, "executor(0)", "FAILED", 101, 200, []),
        (10, "executor(1)", "FAILED", 260, 450, []),
        (11, "stage-2", "PENDING", None, None, []),
    ]
    stopped = {"code": 2, "message": "Error: stage_1: TrainJob aerie/tiny-stage-1 failed: OOMKilled (exit code 137)"}
    return [
        {
            "task_id": f"task-{number}",
            "display_name": name,
            "state": state,
            "start_time": _stamp(first),
            "end_time": _stamp(last),
            "pod_name": wf if number == 0 else f"{wf}-{number}",
            "child_tasks": [{"pod_name": f"{wf}-{child}"} for child in children],
            **({"state_history": [{"state": state, "error": stopped}]} if name == "stage-1" else {}),
        }
        for number, name, state, first, last, children in nodes
    ]


def _stamp(second: int | None) -> str:
    if second is None:
        return "1970-01-01T00:00:00Z"
    return f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}Z"
