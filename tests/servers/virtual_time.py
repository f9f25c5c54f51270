"""A time that costs none: it passes only while everybody sleeps, so threads meet as they would in real time."""

import heapq
import threading
from collections.abc import Callable
from typing import Any


class VirtualTime:
    """`clock` and `sleep` for one thread, or for all that `together` starts."""

    def __init__(self) -> None:
        self.now = 0.0
        self._changed = threading.Condition()
        self._wake_times: list[float] = []
        self._awake = 1

    def clock(self) -> float:
        """Seconds since the beginning."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the time pass, when all others sleep too."""
        if seconds <= 0:
            return
        with self._changed:
            wake = self.now + seconds
            heapq.heappush(self._wake_times, wake)
            self._one_less_awake()
            while self.now < wake:
                self._changed.wait()

    def together(self, *tasks: Callable[[], Any]) -> list[Any]:
        """Run tasks at once; each one's result, or the exception it ended with."""
        results: list[Any] = [None] * len(tasks)
        self._awake = len(tasks)

        def run(number: int) -> None:
            try:
                results[number] = tasks[number]()
            except BaseException as error:
                results[number] = error
            finally:
                with self._changed:
                    self._one_less_awake()

        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(tasks))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._awake = 1
        return results

    def _one_less_awake(self) -> None:
        self._awake -= 1
        if self._awake or not self._wake_times:
            return
        self.now = max(self.now, self._wake_times[0])
        while self._wake_times and self._wake_times[0] <= self.now:
            heapq.heappop(self._wake_times)
            self._awake += 1
        self._changed.notify_all()
