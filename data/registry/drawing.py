"""Which rows of a source are read in full: caps, splits and repeats, with nothing in memory but ranks.

An adapter scans its raw files for candidates: a key, what the draw goes by, the split, and a function that does the
expensive rest (reading pictures, building turns). With a cap the files are scanned twice: once for the ranks.
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from data.registry.cards import SourceCard
from data.registry.raw.problems import BadRowError
from data.registry.rows import Accepted, RawRow, Rejected, Split, one_in, seeded_rank
from data.schema import Sample
from data.settings.sources import SourceUse

HELDOUT_NAMES = frozenset({"heldout", "test", "validation", "val", "dev"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A row that was found. `key` is where it stands (file:line, member, index), for quarantine.

    `unique` is what makes it this row (its content or its id): the draw goes by it, so that neither the order of files
    nor that of rows matters, and the second of two equal ones is refused as `repeated`. `make` builds the sample or
    raises `BadRowError`.
    """

    key: str
    unique: str
    split: Split
    make: Callable[[], Sample]
    repeated: str = "duplicate_row"


Scan = Callable[[], Iterator[Candidate]]


def draw(card: SourceCard, use: SourceUse, seed: int, scan: Scan) -> Iterator[RawRow]:
    """A row for each candidate that the caps let through: `Accepted`, or `Rejected` with its reason."""
    limits = _limits(card, use, seed, scan)
    seen: set[int] = set()
    for candidate in scan():
        rank = _rank(card, seed, candidate)
        if rank > limits[candidate.split]:
            continue
        try:
            if rank in seen:
                raise BadRowError(candidate.repeated, "the same row, or its id, stands in the source before")
            seen.add(rank)
            row: RawRow = Accepted(split=candidate.split, sample=candidate.make())
        except BadRowError as problem:
            # A name on a disk need not be UTF-8, a key in a table must.
            key = candidate.key.encode("utf-8", "backslashreplace").decode()
            row = Rejected(split=candidate.split, key=key, reason=problem.reason, detail=str(problem))
        yield row


def failing(problem: BadRowError) -> Callable[[], Sample]:
    """A `make` for a row that was found broken while scanning."""

    def make() -> Sample:
        raise problem

    return make


def side(card: SourceCard, seed: int, one: int | None, key: object, explicit: object = None) -> Split:
    """The split of a row: what the row itself says, else a seeded share of 1 in `one` of the split keys."""
    if explicit is not None:
        return "heldout" if str(explicit).lower() in HELDOUT_NAMES else "train"
    return "heldout" if one is not None and one_in(one, seed, card.name, key) else "train"


def _rank(card: SourceCard, seed: int, candidate: Candidate) -> int:
    return seeded_rank(seed, "keep", card.name, candidate.unique)


def _limits(card: SourceCard, use: SourceUse, seed: int, scan: Scan) -> dict[Split, int]:
    """The highest rank that is still drawn, by split. Repeats count once: they must not push others out."""
    caps: dict[Split, int | None] = {"train": use.max_samples, "heldout": use.max_heldout}
    everything = (1 << 64) - 1
    if all(cap is None for cap in caps.values()):
        return {"train": everything, "heldout": everything}
    ranks: dict[Split, array[int]] = {"train": array("Q"), "heldout": array("Q")}
    for candidate in scan():
        ranks[candidate.split].append(_rank(card, seed, candidate))
    return {split: _highest(ranks[split], cap, everything) for split, cap in caps.items()}


def _highest(ranks: "array[int]", cap: int | None, everything: int) -> int:
    if cap is None or len(ranks) <= cap:
        return everything
    distinct = np.unique(np.frombuffer(ranks, dtype=np.uint64))
    return everything if len(distinct) <= cap else int(distinct[cap - 1])
