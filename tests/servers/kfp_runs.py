"""KFP's runs in time: a workflow first, its row later or never, states one after the other."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

START = datetime(2026, 1, 1, tzinfo=UTC)
GRACE_SECONDS = 60.0
OVER = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}


@dataclass
class Row:
    """A run in KFP's table; before `visible` it is being written."""

    body: dict[str, Any]
    created: float
    visible: float
    canceled: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


class Runs:
    """Workflows ([run id, created], all that Kubernetes has) and rows (what the API shows)."""

    def __init__(self, settings: dict[str, Any], random: Random) -> None:
        self.settings, self.random = settings, random
        self.workflows: list[list[Any]] = []
        self.rows: dict[str, Row] = {}

    def stamp(self, now: float) -> str:
        """RFC 3339."""
        return f"{START + timedelta(seconds=now):%Y-%m-%dT%H:%M:%SZ}"

    def add(self, row: Row) -> None:
        """A run with its workflow."""
        row.body.setdefault("created_at", self.stamp(row.created))
        self.rows[row.body["run_id"]] = row
        self.workflows.append([row.body["run_id"], row.created])

    def create(self, body: dict[str, Any], now: float) -> Row | None:
        """Start a workflow, then write the row; None when that fails."""
        if body["run_id"] in self.rows or self.random.random() < self.settings.get("row_lost", 0):
            self.workflows.append([body["run_id"], now])
            return None
        row = Row({**body, "state": "PENDING"}, now, now + self.random.uniform(0, self.settings.get("row_seconds", 0)))
        self.add(row)
        return row

    def collect_garbage(self, now: float) -> None:
        """Delete workflows that have no row when they are older than the grace period."""
        self.workflows = [item for item in self.workflows if item[0] in self.rows or now - item[1] < GRACE_SECONDS]

    def look(self, run_id: str, now: float) -> Row | None:
        """A run as it is now."""
        row = self.rows.get(run_id)
        if row is None or row.visible > now:
            return None
        if row.canceled is not None:
            late = now - row.canceled >= self.settings.get("cancel_seconds", 10)
            self._enter(row, "CANCELED" if late else "CANCELING", now)
        else:
            for seconds, state in self.settings.get("life", []):
                if now - row.created >= seconds and row.body.get("state") not in OVER:
                    self._enter(row, state, now)
        return row

    def cancel(self, run_id: str, now: float) -> bool:
        """False for a run that is over, as for one that is being canceled."""
        row = self.look(run_id, now)
        if row.body["state"] in OVER or row.canceled is not None:
            return False
        row.canceled = now
        return True

    def _enter(self, row: Row, state: str, now: float) -> None:
        if row.body.get("state") == state:
            return
        row.body["state"] = state
        row.history.append({"update_time": self.stamp(now), "state": state})
        row.body["state_history"] = row.history
        if state in OVER:
            row.body["finished_at"] = self.stamp(now)
            if tasks := self.settings.get("tasks"):
                row.body["run_details"] = {"task_details": tasks}
            if state == "FAILED" and self.settings.get("error"):
                row.body["error"] = {"code": 2, "message": self.settings["error"]}
