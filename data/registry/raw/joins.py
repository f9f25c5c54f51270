"""Values by key for files that must be joined, in a temporary database on disk: memory doesn't grow with them."""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from data.registry.raw.problems import BadRowError


class Joined:
    """JSON values by key. A key that came twice is remembered as such, for there is no telling which one is meant."""

    def __init__(self, what: str, pairs: Iterable[tuple[str, Any]]) -> None:
        self.what = what
        self._base = sqlite3.connect("")  # an empty name: a file of sqlite's own, gone when closed
        self._base.execute("PRAGMA cache_size = -16384")  # KiB; the rest is on disk
        self._base.execute("CREATE TABLE held (id TEXT PRIMARY KEY, value TEXT, times INTEGER) WITHOUT ROWID")
        statement = "INSERT INTO held VALUES (?, ?, 1) ON CONFLICT (id) DO UPDATE SET times = times + 1"
        self._base.executemany(statement, ((key, json.dumps(value)) for key, value in pairs))

    def value(self, key: str) -> Any:
        """The value of a key; `BadRowError` when there is none, or more than one."""
        found = self._base.execute("SELECT value, times FROM held WHERE id = ?", (key,)).fetchone()
        if found is None:
            raise BadRowError(f"missing_{self.what}", f"no {self.what} for {key!r}")
        if found[1] > 1:
            raise BadRowError("duplicate_id", f"{found[1]} {self.what}s for {key!r}")
        return json.loads(found[0])
