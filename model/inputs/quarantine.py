"""Samples that turn out bad while training: what is told of each, and how many are too many."""

from collections.abc import Sequence
from dataclasses import dataclass

from data.errors import AerieError

FEW = 20  # bad samples that never stop a stage, whatever their share
SHARE = 0.01  # of the samples seen: above, it is not the samples that are wrong
NAMED = 3


@dataclass(frozen=True, slots=True, order=True)
class QuarantineEvent:
    """A sample that its pack goes on without. `reason` is the ledger's, `detail` says what was found."""

    pack: int
    sample_id: str
    source: str
    reason: str
    detail: str


class QuarantineLimit:
    """Counts one rank's samples; `AerieError` when so many are bad that the inputs or the recipe must be wrong."""

    def __init__(self) -> None:
        self.seen, self.events = 0, 0
        self._first: list[QuarantineEvent] = []

    def take(self, seen: int, events: Sequence[QuarantineEvent]) -> None:
        """The samples of further packs, and which of them are bad."""
        self.seen, self.events = self.seen + seen, self.events + len(events)
        self._first += events[: NAMED - len(self._first)]
        if self.events >= FEW and self.events > SHARE * self.seen:
            named = "; ".join(f"{event.sample_id} of {event.source!r}: {event.detail}" for event in self._first)
            raise AerieError(
                f"{self.events} of {self.seen} samples can't be trained on, more than {SHARE:.0%}: the formatted "
                f"samples or the recipe changed after packing. The first: {named}"
            )
