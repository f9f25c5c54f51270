"""KFP runs: look at them, find them, create them, end them."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data.errors import AerieError
from pipelines.kfp_client import KfpApi, KfpError

RUNS = "/apis/v2beta1/runs"
OVER = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PAGE_SIZE = 100
PASSED_END = 400  # KFP's answer when a run that has ended is to be terminated


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """One node of a run's graph as KFP reports it; times are None until they happen.

    `child_ids` are ids of tasks or names of their pods.
    """

    task_id: str
    name: str
    state: str
    started: datetime | None = None
    ended: datetime | None = None
    error: str = ""
    pod: str = ""
    child_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """One observation of a run; `parameters` are the pipeline's, `run_id` is KFP's."""

    run_id: str
    name: str
    state: str
    created: datetime | None = None
    ended: datetime | None = None
    error: str = ""
    parameters: Mapping[str, Any]
    tasks: tuple[TaskState, ...] = ()

    @property
    def over(self) -> bool:
        """True when it won't run any more; CANCELED is an end too."""
        return self.state in OVER


def read_run(api: KfpApi, run_id: str) -> RunState | None:
    """A run by its id, None when KFP has no such run."""
    answer = api.get(f"{RUNS}/{run_id}", view="FULL")
    return run_state(answer) if answer is not None else None


def list_runs(api: KfpApi, name: str, experiment_id: str = "") -> Iterator[RunState]:
    """Runs with a display name, newest first."""
    predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
    query = {
        "namespace": api.endpoint.namespace,
        "experiment_id": experiment_id,
        "sort_by": "created_at desc",
        "filter": json.dumps({"predicates": [predicate]}),
    }
    for item in pages(api, RUNS, "runs", **query):
        yield run_state(item)


def pages(api: KfpApi, path: str, key: str, **query: Any) -> Iterator[dict[str, Any]]:
    """The items of all pages of a list."""
    token = ""
    while True:
        answer = api.insist("GET", path, query={**query, "page_size": PAGE_SIZE, "page_token": token})
        yield from answer.get(key) or []
        if not (token := answer.get("next_page_token") or ""):
            return


def find_run(api: KfpApi, run: str) -> RunState:
    """A run by its id or, newest first, by its display name."""
    found = read_run(api, run) if UUID.fullmatch(run) else next(list_runs(api, run), None)
    if found is None:
        where = f"in namespace {api.endpoint.namespace} of {api.endpoint.url}"
        raise AerieError(f"no run {run!r} {where}; RUN is the id or the name that `aerie submit` prints")
    # A list may leave out the tasks.
    return found if UUID.fullmatch(run) else read_run(api, found.run_id) or found


def watch(api: KfpApi, run_id: str, look: Callable[[RunState], Any] = lambda _: None) -> RunState:
    """Wait until a run is over (KFP's own client never returns for a CANCELED one); `look` sees each observation."""
    while True:
        run = read_run(api, run_id)
        if run is None:
            raise AerieError(f"run {run_id} was deleted while we waited for it")
        look(run)
        if run.over:
            return run
        api.pace.sleep(api.pace.waiting.poll)


def cancel(api: KfpApi, run: RunState) -> RunState:
    """End a run and wait until it has ended; one that is over already stays as it is."""
    if run.over:
        return run
    try:
        api.insist("POST", f"{RUNS}/{run.run_id}:terminate")
    except KfpError as error:
        # Also the answer to the repetition of a request whose first answer was lost.
        if error.status != PASSED_END:
            raise
    return watch(api, run.run_id)


def run_state(item: Mapping[str, Any]) -> RunState:
    """Read KFP's JSON."""
    details = item.get("run_details") or {}
    return RunState(
        run_id=item["run_id"],
        name=item.get("display_name", ""),
        state=item.get("state", "RUNTIME_STATE_UNSPECIFIED"),
        created=_time(item.get("created_at")),
        ended=_time(item.get("finished_at")),
        error=_message(item),
        parameters=(item.get("runtime_config") or {}).get("parameters") or {},
        tasks=tuple(_task_state(task) for task in details.get("task_details") or []),
    )


def _task_state(item: Mapping[str, Any]) -> TaskState:
    return TaskState(
        task_id=item["task_id"],
        name=item.get("display_name", ""),
        state=item.get("state", ""),
        started=_time(item.get("start_time")),
        ended=_time(item.get("end_time")),
        error=_message(item),
        pod=item.get("pod_name", ""),
        child_ids=tuple(str(child.get("task_id") or child.get("pod_name")) for child in item.get("child_tasks") or []),
    )


def _message(item: Mapping[str, Any]) -> str:
    """The error of a run or task, or the last one of its history."""
    entries = [item, *reversed(item.get("state_history") or [])]
    return next((str(entry["error"].get("message", "")) for entry in entries if entry.get("error")), "")


def _time(text: str | None) -> datetime | None:
    """RFC 3339; KFP writes 1970 for a time that hasn't come."""
    found = datetime.fromisoformat(text) if text else None
    return found if found is not None and found.year > 1970 else None
