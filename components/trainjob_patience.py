"""How long to wait for an API server that answers badly or not at all, and when to give up on it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

Answer = TypeVar("Answer")
NO_ANSWER = 0
# Asking again can't help: the request or the permissions are wrong.
HOPELESS = {400, 401, 403, 422}


class ClusterError(Exception):
    """A request that got an error answer or none (`status` 0); the message holds no headers and no secrets.

    `retry_after`: seconds that the server asked us to stay away, 0 when it didn't.
    """

    def __init__(self, status: int, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Times in seconds; a launcher looks at its job every `poll`."""

    poll: float = 10.0
    first: float = 1.0
    longest: float = 60.0
    longest_retry_after: float = 300.0
    give_up_after: float = 1800.0


def back_off(failures: int, waiting: Waiting, random: Random, retry_after: float = 0.0) -> float:
    """Seconds to wait after the n-th failure in a row: doubled each time, capped, and spread over a half.

    A server's Retry-After is a lower bound, and spread too, so that many clients don't return together.
    """
    exponential = min(waiting.longest, waiting.first * 2.0 ** min(failures - 1, 30))
    asked = min(retry_after, waiting.longest_retry_after)
    return max(exponential * random.uniform(0.5, 1.0), asked * random.uniform(1.0, 1.1))


@dataclass
class Patience:
    """Counts failures in a row; one answer makes it forget them.

    `sleep` and `clock` are given by tests; `where` names the job and its namespace in messages.
    """

    where: str
    sleep: Callable[[float], None]
    clock: Callable[[], float]
    random: Random = field(default_factory=Random)
    waiting: Waiting = field(default_factory=Waiting)
    failures: int = 0
    since: float = 0.0

    @classmethod
    def real(cls, where: str, waiting: "Waiting | None" = None) -> "Patience":
        """Patience in real time."""
        return cls(where=where, sleep=time.sleep, clock=time.monotonic, waiting=waiting or Waiting())

    def insist(self, ask: Callable[[], Answer]) -> Answer:
        """Ask until there is an answer; `AerieError` as in `failed`."""
        while True:
            try:
                answer = ask()
            except ClusterError as error:
                self.failed(error)
            else:
                self.answered()
                return answer

    def answered(self) -> None:
        """The server works."""
        self.failures = 0

    def rest(self, at_least: float = 0.0) -> None:
        """Wait for the next look, a little jittered."""
        seconds = max(self.waiting.poll, min(at_least, self.waiting.longest_retry_after))
        self.sleep(seconds * self.random.uniform(1.0, 1.1))

    def back_off(self, failures: int, error: ClusterError) -> None:
        """Wait after the n-th failure in a row."""
        self.sleep(back_off(failures, self.waiting, self.random, error.retry_after))

    def failed(self, error: ClusterError) -> None:
        """Wait before another try; `AerieError` when trying again is hopeless or has lasted too long."""
        from data.errors import AerieError

        if error.status in HOPELESS:
            raise AerieError(hopeless(self.where, error)) from None
        self.failures += 1
        if self.failures == 1:
            self.since = self.clock()
        elif self.clock() - self.since > self.waiting.give_up_after:
            minutes = self.waiting.give_up_after / 60
            message = f"{self.where}: no usable answer from the API server for {minutes:.0f} min (last: {error})"
            raise AerieError(f"{message}; what was launched goes on, so repeat this when the server is back") from None
        self.back_off(self.failures, error)


def hopeless(where: str, error: ClusterError) -> str:
    """What to do about an answer that no repetition changes."""
    text = str(error)
    if error.status == 401:
        advice = "the API server doesn't accept our token; check the pod's service account (or your kubeconfig)"
    elif error.status == 403 and "admission webhook" not in text and "quota" not in text:
        advice = "the service account lacks a Role; bind the TrainJob Role of infra/ (aerie-runner) in this namespace"
    else:
        advice = "the API server refuses the request; change what its message names (recipe, placement or runtime)"
    return f"{where}: {advice}\n  HTTP {error.status}: {text}"
