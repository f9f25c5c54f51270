"""The flow of rows through a run: what each source brought, where rows ended and why, what was trained.

Built from the counts in the steps' manifests alone. A row that nobody accounts for is an error that names its step.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from data.errors import AerieError
from data.ledger import StepCount, check_closed

Ledger = Sequence[StepCount]
IN_NO_STAGE = "in_no_stage"


@dataclass(frozen=True, slots=True, order=True)
class Drop:
    """Rows that ended in one step for one reason."""

    step: str
    reason: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFlow:
    """One source from its first row to training: read + added = trained + dropped.

    `trained` counts the rows that at least one stage trains on, `stages` those of each stage; `after` the rows that
    leave each step, in order.
    """

    source: str
    category: str
    read: int
    added: int
    trained: int
    dropped: tuple[Drop, ...]
    stages: dict[str, int]
    after: dict[str, int]

    @property
    def lost(self) -> int:
        """All rows dropped."""
        return sum(drop.rows for drop in self.dropped)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFlow:
    """All sources in the order given; built by `ledger_flow`, so the sums close."""

    sources: tuple[SourceFlow, ...]

    def categories(self) -> tuple[SourceFlow, ...]:
        """The flows summed by category, `source` naming the sources, in order of first appearance."""
        grouped: defaultdict[str, list[SourceFlow]] = defaultdict(list)
        for flow in self.sources:
            grouped[flow.category].append(flow)
        return tuple(_summed(flows, category) for category, flows in grouped.items())

    def total(self) -> SourceFlow:
        """All sources together."""
        return _summed(self.sources, "all")

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "sources": {flow.source: _plain(flow) for flow in self.sources},
            "categories": {flow.category: _plain(flow) for flow in self.categories()},
            "total": _plain(self.total()),
        }


def ledger_flow(
    chain: Sequence[tuple[str, Ledger]],
    stages: Mapping[str, Ledger],
    categories: Mapping[str, str],
    trained: Mapping[str, int] | None = None,
    training: Mapping[str, Ledger] | None = None,
) -> LedgerFlow:
    """Follow every source through `chain` (step name, counts), which ends in the step that every stage reads.

    `stages` holds each stage's packing counts. `categories` maps each source, in order, to its category. `trained`
    gives the distinct rows that some stage trains on; without it the stage that takes most decides, which is exact
    when the stages are nested. `training` holds what each stage trained on; it must equal what was packed.
    Raises `AerieError` naming source and step when rows vanish within or between steps.
    """
    for step, counts in [*chain, *((f"packing/{stage}", counts) for stage, counts in stages.items())]:
        check_closed(step, counts)
        unknown = sorted({count.source for count in counts} - set(categories))
        if unknown:
            raise AerieError(f"step {step!r} counts the sources {unknown}, the recipe lists {list(categories)}")
    for stage, counts in (training or {}).items():
        check_closed(stage, counts)
        for source in categories:
            _check_border(source, f"packing/{stage}", _of(stages[stage], source), stage, _of(counts, source))
    return LedgerFlow(
        sources=tuple(
            _follow(
                source,
                category,
                [(step, _of(counts, source)) for step, counts in chain],
                {stage: _of(counts, source) for stage, counts in stages.items()},
                None if trained is None else trained.get(source, 0),
            )
            for source, category in categories.items()
        )
    )


def _of(counts: Ledger, source: str) -> StepCount:
    """A source's count; a step that never saw a row of it counts zero."""
    empty = StepCount(source=source, rows_in=0, rows_out=0)
    return next((count for count in counts if count.source == source), empty)


def _follow(
    source: str, category: str, chain: list[tuple[str, StepCount]], stages: dict[str, StepCount], trained: int | None
) -> SourceFlow:
    for (before, left), (after, entered) in pairwise(chain):
        _check_border(source, before, left, after, entered)
    last_step, last = chain[-1]
    for stage, count in stages.items():
        _check_border(source, last_step, last, f"packing/{stage}", count)
    drops = [Drop(step, reason, rows) for step, count in chain for reason, rows in count.dropped.items() if rows]
    left_out, trained = _left_out(source, last.rows_out, stages, trained)
    return SourceFlow(
        source=source,
        category=category,
        read=chain[0][1].rows_in,
        added=sum(count.rows_added for _, count in chain),
        trained=trained,
        dropped=(*drops, *left_out),
        stages={stage: count.rows_out for stage, count in stages.items()},
        after={step: count.rows_out for step, count in chain},
    )


def _check_border(source: str, before: str, left: StepCount, after: str, entered: StepCount) -> None:
    if left.rows_out != entered.rows_in:
        raise AerieError(
            f"the ledger does not close between steps {before!r} and {after!r} for source {source!r}: "
            f"{left.rows_out} rows leave, {entered.rows_in} enter; run step {after!r} again"
        )


def _left_out(source: str, rows: int, stages: dict[str, StepCount], trained: int | None) -> tuple[list[Drop], int]:
    """(rows of the last step that no stage trains on, by reason; rows that some stage trains on)."""
    widest = max(stages.values(), key=lambda count: count.rows_out, default=None)
    most = widest.rows_out if widest else 0
    trained = most if trained is None else trained
    if not most <= trained <= rows:
        raise AerieError(
            f"the ledger does not close in step 'packing' for source {source!r}: {trained} rows are trained in some "
            f"stage, but one stage alone has {most} and {rows} came in; run the packing again"
        )
    if widest is not None and trained == most:
        return [Drop("packing", reason, count) for reason, count in widest.dropped.items() if count], trained
    return ([Drop("packing", IN_NO_STAGE, rows - trained)] if rows > trained else []), trained


def _summed(flows: Iterable[SourceFlow], category: str) -> SourceFlow:
    flows = list(flows)
    drops: Counter[tuple[str, str]] = Counter()
    stages: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for flow in flows:
        drops.update({(drop.step, drop.reason): drop.rows for drop in flow.dropped})
        stages.update(flow.stages)
        after.update(flow.after)
    return SourceFlow(
        source=", ".join(flow.source for flow in flows),
        category=category,
        read=sum(flow.read for flow in flows),
        added=sum(flow.added for flow in flows),
        trained=sum(flow.trained for flow in flows),
        dropped=tuple(Drop(step, reason, rows) for (step, reason), rows in drops.items()),
        stages=dict(stages),
        after=dict(after),
    )


def _plain(flow: SourceFlow) -> dict[str, Any]:
    return {**asdict(flow), "lost": flow.lost}
