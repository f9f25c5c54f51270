"""Progress lines on stdout: how far, how fast, how long still."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 2.0


class Progress:
    """Prints e.g. `embedding  1200/4613 rows  310 rows/s  ETA 11 s`, at most one line every two seconds.

    `total` is None when nobody knows it yet: then the line has no total and no ETA.
    """

    def __init__(
        self,
        label: str,
        total: int | None,
        unit: str = "rows",
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, 0
        self._stream, self._clock = stream, clock
        self._start = self._last = clock()

    def update(self, n: int = 1) -> None:
        """Count `n` more units; print when the last line is old enough."""
        self.done += n
        now = self._clock()
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            self._print(now)

    def close(self) -> None:
        """Print the final line with the average rate."""
        self._print(self._clock())

    def _print(self, now: float) -> None:
        elapsed = max(now - self._start, 1e-9)
        rate = self.done / elapsed
        count = f"{self.done}/{self.total}" if self.total is not None else f"{self.done}"
        line = f"{self.label}  {count} {self.unit}  {rate:.{0 if rate >= 9.95 else 1}f} {self.unit}/s"
        if self.total is not None and 0 < self.done < self.total:
            line += f"  ETA {(self.total - self.done) / rate:.0f} s"
        else:
            line += f"  {elapsed:.1f} s"
        print(line, file=self._stream or sys.stdout, flush=True)


def tracked(items: Iterable[Item], label: str, total: int | None, unit: str = "rows") -> Iterator[Item]:
    """The items, counted by a `Progress`."""
    progress = Progress(label, total, unit)
    for item in items:
        yield item
        progress.update()
    progress.close()
