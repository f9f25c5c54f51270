"""Counts of what went over the wire in one execution; they differ from run to run, unlike the step's output."""

import threading
from collections import Counter


class Traffic:
    """Counters that threads share: `requests` (HTTP tries), `retries`, `cache_hits`, `shared`, `failed_REASON`..."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, count: int = 1) -> None:
        """Count something."""
        with self._lock:
            self._counts[name] += count

    def count(self, name: str) -> int:
        """One count, zero when nothing of that name happened."""
        with self._lock:
            return self._counts[name]

    def document(self) -> dict[str, int]:
        """All counts by name."""
        with self._lock:
            return dict(sorted(self._counts.items()))
