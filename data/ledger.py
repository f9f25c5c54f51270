"""Accounting: for every source, rows in + rows added = rows out + rows dropped by reason."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from data.errors import AerieError


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCount:
    """What one step did to one source."""

    source: str
    rows_in: int
    rows_out: int
    rows_added: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def gap(self) -> int:
        """Rows that nobody accounts for; zero when the sums close."""
        return self.rows_in + self.rows_added - self.rows_out - sum(self.dropped.values())


class Tally:
    """Counts rows while a step runs; `counts()` closes the sums or raises."""

    def __init__(self, step: str) -> None:
        self.step = step
        self._in: Counter[str] = Counter()
        self._out: Counter[str] = Counter()
        self._added: Counter[str] = Counter()
        self._dropped: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def take(self, source: str, rows: int = 1) -> None:
        """Rows that came in."""
        self._in[source] += rows

    def keep(self, source: str, rows: int = 1) -> None:
        """Rows that go on."""
        self._out[source] += rows

    def add(self, source: str, rows: int = 1) -> None:
        """Rows that the step made; each also goes on (`keep`) or is dropped."""
        self._added[source] += rows

    def drop(self, source: str, reason: str, rows: int = 1) -> None:
        """Rows that end here, and why."""
        self._dropped[source][reason] += rows

    def merge(self, other: "Tally") -> None:
        """Add what another tally of the same step counted, e.g. of one shard in another process."""
        self._in.update(other._in)
        self._out.update(other._out)
        self._added.update(other._added)
        for source, reasons in other._dropped.items():
            self._dropped[source].update(reasons)

    def counts(self) -> tuple[StepCount, ...]:
        """One `StepCount` per source in name order; raises `AerieError` when the sums don't close."""
        sources = sorted({*self._in, *self._out, *self._added, *self._dropped})
        counts = tuple(
            StepCount(
                source=source,
                rows_in=self._in[source],
                rows_out=self._out[source],
                rows_added=self._added[source],
                dropped=dict(sorted(self._dropped[source].items())),
            )
            for source in sources
        )
        check_closed(self.step, counts)
        return counts


def check_closed(step: str, counts: Iterable[StepCount]) -> None:
    """Raise `AerieError` naming the step, the source and the missing rows when a sum doesn't close."""
    for count in counts:
        if count.gap():
            raise AerieError(
                f"ledger of step {step!r} does not close for source {count.source!r}: "
                f"{count.rows_in} in + {count.rows_added} added != {count.rows_out} out + {count.dropped} dropped"
            )
