"""A step that takes far longer than the others leaves the stacks of all threads behind: a hang explains itself."""

import faulthandler
import statistics
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from data.errors import AerieError
from data.files import exists, join, read_bytes, write_bytes

FACTOR, LEAST_SECONDS = 10.0, 60.0  # a step is late after ten times the median of the last ones, a minute at least
FIRST_SECONDS = 1800.0  # the first steps compile and warm up, and there is no median yet
KNOWN, REMEMBERED = 3, 50  # steps before the median counts, and those it is taken over
LOOK_SECONDS = 5.0


class Watchdog:
    """Looks at the running step from a thread; says once of each late one where it hangs. It never ends anything.

    The stacks go to OUT/stacks-rankN.txt, on a disk or in a bucket; where that fails, to standard error.
    """

    def __init__(
        self,
        label: str,
        out_uri: str,
        rank: int,
        *,
        factor: float = FACTOR,
        least_seconds: float = LEAST_SECONDS,
        first_seconds: float = FIRST_SECONDS,
        look_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label, self._rank, self._clock = label, rank, clock
        self._uri = join(out_uri, f"stacks-rank{rank}.txt")
        self._factor, self._least, self._first = factor, least_seconds, first_seconds
        self._durations: deque[float] = deque(maxlen=REMEMBERED)
        self._running: tuple[str, float] | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(look_seconds,), daemon=True)
        self._thread.start()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Watch a step; `what` names it and its packs."""
        start = self._clock()
        self._running = (what, start)
        try:
            yield
        finally:
            self._running = None
            self._durations.append(self._clock() - start)

    def limit(self) -> float:
        """Seconds after which a step is late."""
        if len(self._durations) < KNOWN:
            return max(self._first, self._least)
        return max(self._least, self._factor * statistics.median(self._durations))

    def look(self) -> None:
        """Dump the stacks if the running step is late; it is left in peace afterwards."""
        running, limit = self._running, self.limit()
        if running is None or self._clock() - running[1] <= limit:
            return
        what, start = running
        where = self._dump(f"{what}, {self._clock() - start:.0f} s after it began")
        usual = f"{statistics.median(self._durations):.1f} s" if self._durations else "not known yet"
        print(
            f"{self._label}  rank {self._rank}: {what} takes {self._clock() - start:.0f} s (the median is {usual}); "
            f"stacks of all threads are in {where}; training waits on",
            flush=True,
        )
        if self._running == running:
            self._running = None

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _watch(self, seconds: float) -> None:
        while not self._closed.wait(seconds):
            self.look()

    def _dump(self, title: str) -> str:
        with tempfile.TemporaryFile() as file:
            file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, rank {self._rank}: {title}\n".encode())
            file.flush()
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            stacks = file.read() + b"\n"
        try:
            write_bytes(self._uri, (read_bytes(self._uri) if exists(self._uri) else b"") + stacks)
            return self._uri
        except (AerieError, OSError):
            with suppress(OSError):
                sys.stderr.write(stacks.decode(errors="replace"))
            return "standard error"
