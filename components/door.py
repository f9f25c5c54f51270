"""What every component does around its library call: folders, checks, locks, progress marks, metrics, user errors.

Marks are stdout lines, `::aerie` and a JSON object: the display of `aerie run` reads them, on a cluster they are logs.
A user's mistake (`AerieError`) ends the task with its message in STORAGE/RUN/errors/ and no traceback.
"""

import fcntl
import json
import math
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

MARK = "::aerie"


class Door:
    """One execution of a step: knows its folders and how to hand over its manifest."""

    def __init__(self, step: str, storage_uri: str, run_id: str) -> None:
        """`step` is the output folder below the run, e.g. `filtering` or `packing/stage_1`."""
        from data.files import step_folder

        self.step, self.storage_uri, self.run_id = step, storage_uri, run_id
        self.out = step_folder(storage_uri, run_id, step)
        self.rows, self.reused = 0, False
        self._fingerprint_before = _fingerprint(self.out)

    @property
    def untouched(self) -> bool:
        """True when the step has no finished output yet."""
        return not self._fingerprint_before

    def upstream(self, step: str, sha256: str) -> str:
        """The folder of an input step, after checking that it still holds the manifest this task was given."""
        from data.errors import AerieError
        from data.files import step_folder
        from data.storage import read_manifest

        folder = step_folder(self.storage_uri, self.run_id, step)
        if read_manifest(folder).sha256() != sha256:
            raise AerieError(f"{folder} changed after {step!r} handed it over; run the pipeline again")
        return folder

    def finish(self, committed: Any, metrics: Any = None, manifest: Any = None) -> str:
        """Log the step's counts and its manifest as KFP artifacts; return the manifest's hash."""
        self.rows = committed.rows
        self.reused = committed.fingerprint == self._fingerprint_before
        if metrics is not None:
            log_metrics(metrics, ledger_metrics(committed))
        if manifest is not None:
            Path(manifest.path).parent.mkdir(parents=True, exist_ok=True)
            Path(manifest.path).write_text(committed.to_json())
            manifest.metadata.update(uri=self.out, sha256=committed.sha256(), rows=committed.rows)
        return committed.sha256()

    def attachment(self, committed: Any, name: str) -> bytes | None:
        """A side file of the finished step, or None when it has none of that name."""
        from data.storage import read_attachment

        return read_attachment(self.out, committed, name) if name in committed.attachments else None


@contextmanager
def open_door(step: str, storage_uri: str, run_id: str) -> Iterator[Door]:
    """Run a step's body; exit with status 1 and one clear message when the user made a mistake."""
    from data.curation.given_gpus import see_given_gpus
    from data.errors import AerieError

    start = time.monotonic()
    _mark("begin", step)
    try:
        see_given_gpus()
        with _only_one(step, storage_uri, run_id):
            door = Door(step, storage_uri, run_id)
            yield door
    except AerieError as error:
        _report_error(step, storage_uri, run_id, str(error))
        sys.exit(1)
    _forget_error(step, storage_uri, run_id)
    _mark("end", step, seconds=time.monotonic() - start, mib=peak_mib(), rows=door.rows, reused=door.reused)


def ledger_metrics(committed: Any) -> dict[str, float]:
    """`<step>/in`, `/added`, `/kept` and `/dropped_<reason>` summed over the sources, plus the rows written."""
    totals: dict[str, float] = {f"{committed.step}/rows": committed.rows}
    for count in committed.counts:
        for name, value in (("in", count.rows_in), ("added", count.rows_added), ("kept", count.rows_out)):
            totals[f"{committed.step}/{name}"] = totals.get(f"{committed.step}/{name}", 0) + value
        for reason, value in count.dropped.items():
            totals[f"{committed.step}/dropped_{reason}"] = totals.get(f"{committed.step}/dropped_{reason}", 0) + value
    return totals


def log_metrics(metrics: Any, values: dict[str, Any]) -> None:
    """Log finite numbers only: a NaN in a Metrics artifact breaks the KFP runner after the task succeeded."""
    for name, value in values.items():
        if isinstance(value, int | float) and math.isfinite(value):
            metrics.log_metric(name, float(value))


def flat_numbers(document: Any, prefix: str = "") -> dict[str, float]:
    """The numbers of a nested JSON document by dotted path (lists are left out)."""
    if isinstance(document, bool) or not isinstance(document, dict | int | float):
        return {}
    if not isinstance(document, dict):
        return {prefix: document}
    numbers: dict[str, float] = {}
    for key, value in document.items():
        numbers |= flat_numbers(value, f"{prefix}.{key}" if prefix else str(key))
    return numbers


def peak_mib() -> float:
    """Highest resident memory of this process or any of its finished children, MiB."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _mark(event: str, step: str, **values: Any) -> None:
    print(MARK, json.dumps({"event": event, "step": step, **values}), flush=True)


def _fingerprint(folder: str) -> str:
    """The fingerprint of what a folder holds already; empty when it is new or damaged (the step itself complains)."""
    from data.errors import AerieError
    from data.storage import read_manifest

    try:
        return str(read_manifest(folder).fingerprint)
    except AerieError:
        return ""


def _error_uri(step: str, storage_uri: str, run_id: str) -> str:
    from data.files import step_folder

    return step_folder(storage_uri, run_id, "errors", step.replace("/", ".") + ".txt")


def _report_error(step: str, storage_uri: str, run_id: str, message: str) -> None:
    from data.errors import AerieError
    from data.files import write_bytes

    _mark("error", step, message=message)
    with suppress(AerieError):  # the mistake may be that the storage can't be written
        write_bytes(_error_uri(step, storage_uri, run_id), message.encode())


def _forget_error(step: str, storage_uri: str, run_id: str) -> None:
    """A step that succeeded leaves no error of an earlier try."""
    from data.errors import AerieError
    from data.folders import remove_file

    with suppress(AerieError):  # the step is done; a message that stays is older than its manifest
        remove_file(_error_uri(step, storage_uri, run_id))


@contextmanager
def _only_one(step: str, storage_uri: str, run_id: str) -> Iterator[None]:
    """Hold the step's lock, so that a resumed run never writes beside a process that outlived a killed one."""
    from data.errors import AerieError
    from data.files import is_s3, step_folder

    if is_s3(storage_uri):
        yield  # a bucket has no locks; there the workflow controller keeps a task single
        return
    path = Path(step_folder(storage_uri, run_id, ".locks", step.replace("/", ".")))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        if not _try_lock(lock):
            raise AerieError(
                f"step {step} of run {run_id} is still running in another process; wait for it or stop it, then resume"
            )
        yield


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks (some network mounts)
    return True
