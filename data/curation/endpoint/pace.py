"""How fast requests may follow each other."""

import threading
import time
from collections.abc import Callable


class Pace:
    """Spaces requests of many threads evenly, so that no minute holds more of them, or of their tokens, than allowed.

    Even spacing has no bursts: an endpoint that counts by the second sees the same rate as one that counts by the
    minute. `hold` is for an endpoint that says when to come back: nobody asks before. A `sleep` that returns True
    (the `wait` of an event that was set) ends all waiting.
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._per_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self._per_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._clock, self._sleep, self._lock = clock, sleep, threading.Lock()
        self._next_request = self._next_token = self._held_until = clock()

    def take(self, tokens: int) -> None:
        """Wait for this request's turn; `tokens` is a guess of what it will use."""
        with self._lock:
            at = max(self._clock(), self._next_request, self._next_token)
            self._next_request = at + self._per_request
            self._next_token = at + self._per_token * tokens
        while (left := max(at, self._held_until) - self._clock()) > 0:  # while one waits, `hold` may make it longer
            if self._sleep(left):
                return

    def correct(self, guessed: int, used: int) -> None:
        """Tokens that turned out to be more or fewer than `take` was told."""
        with self._lock:
            self._next_token += self._per_token * (used - guessed)

    def hold(self, seconds: float) -> None:
        """Nobody asks for so long."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + seconds)
