"""The log of node 0 across polls, pods and container restarts: every line once."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from components.trainjob_patience import HOPELESS, ClusterError
from components.trainjob_state import PodState

# Two streams of a container may be written a little out of order, and the API rounds `since` to seconds.
OVERLAP = timedelta(seconds=2)
NO_CONTAINER_YET, GONE = 400, 404


class Journal:
    """One pod's log, read in overlapping pieces; every line begins with its time (RFC 3339)."""

    def __init__(self) -> None:
        self._newest: datetime | None = None
        self._overlap: Counter[str] = Counter()

    @property
    def since(self) -> str:
        """From when to read next; empty for all."""
        return "" if self._newest is None else f"{_whole_seconds(self._newest - OVERLAP):%Y-%m-%dT%H:%M:%SZ}"

    def fresh(self, text: str, ended: bool = False) -> list[str]:
        """The lines of a piece that weren't in an earlier one, without their times.

        A last line without its line break is still being written, unless the container has `ended`.
        """
        lines = text.split("\n")
        timed = [(time, line) for line in (lines if ended else lines[:-1]) if (time := _time(line)) is not None]
        known, new = Counter(self._overlap), []
        for _, line in timed:
            if known[line] > 0:
                known[line] -= 1
            else:
                new.append(line.partition(" ")[2])
        self._remember(timed)
        return new

    def _remember(self, timed: list[tuple[datetime, str]]) -> None:
        """Keep the lines that the next piece may repeat."""
        if not timed:
            return
        self._newest = max(time for time, _ in timed)
        begin = _whole_seconds(self._newest - OVERLAP)
        self._overlap = Counter(line for time, line in timed if time >= begin)


class Logs(Protocol):
    """Where logs come from."""

    def pods(self, name: str, node: int | None = None) -> list[PodState]:
        """The pods of a job's nodes, or of one node."""

    def log(self, pod: str, since: str = "", previous: bool = False, tail: int = 0) -> str:
        """A pod's log with times."""


class Follower:
    """Passes on what node 0 prints; a log that must not be read is said once and never stops the launcher."""

    def __init__(self, cluster: Logs, name: str, take: Callable[[str, str], Any], say: Callable[[str], Any]) -> None:
        """`take` gets a pod's name and one of its lines."""
        self._cluster, self._name, self._take, self._say = cluster, name, take, say
        self._journals: dict[str, Journal] = {}
        self._restarts: dict[str, int] = {}
        self._read_to_the_end: set[str] = set()
        self._complained = False

    def read(self, over: bool = False) -> None:
        """Print what is new; `over` when nothing more will come.

        ClusterError when the server didn't answer; the next call goes on where this one stopped.
        """
        try:
            pods = self._cluster.pods(self._name, node=0)
            for pod in sorted(pods, key=lambda pod: (pod.created, pod.name)):
                if pod.started and pod.name not in self._read_to_the_end:
                    self._read_pod(pod, over or pod.ended)
        except ClusterError as error:
            if error.status not in HOPELESS:
                raise
            if not self._complained:
                self._say(f"its log can't be read (HTTP {error.status}: {error}); training goes on unseen")
            self._complained = True

    def _read_pod(self, pod: PodState, ended: bool) -> None:
        journal = self._journals.setdefault(pod.name, Journal())
        try:
            if pod.restarts > self._restarts.setdefault(pod.name, 0):
                self._pass_on(pod, journal.fresh(self._cluster.log(pod.name, journal.since, previous=True), True))
                self._restarts[pod.name] = pod.restarts
            self._pass_on(pod, journal.fresh(self._cluster.log(pod.name, journal.since), ended))
        except ClusterError as error:
            if error.status not in {NO_CONTAINER_YET, GONE}:
                raise
            return
        if pod.ended:
            self._read_to_the_end.add(pod.name)

    def _pass_on(self, pod: PodState, lines: list[str]) -> None:
        for line in lines:
            self._take(pod.name, line)


def _time(line: str) -> datetime | None:
    try:
        return datetime.fromisoformat(line.partition(" ")[0]).astimezone(UTC)
    except ValueError:
        return None


def _whole_seconds(time: datetime) -> datetime:
    return time.replace(microsecond=0)
