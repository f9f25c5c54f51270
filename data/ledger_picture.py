"""The ledger as a picture: sources or categories, the steps that change something, and what is trained."""

from collections import Counter
from collections.abc import Mapping, Sequence

from data.ledger_report import Drop, LedgerFlow, SourceFlow
from data.reporting.sankey import Drop as Dropped
from data.reporting.sankey import FlowStep, Sankey

MANY_SOURCES = 12  # more are summed by category
MANY_REASONS = 8  # of one step; the smallest beyond are summed
LAST_STEP = "packing"  # where rows go to no stage


def ledger_sankey(flow: LedgerFlow, stage_names: Mapping[str, str]) -> Sankey:
    """The rows of every source from reading to training; a step that drops and adds nothing has no bar.

    `stage_names` says what each stage of the flow is called. The sums are those of the flow.
    """
    by_source = len(flow.sources) <= MANY_SOURCES
    groups = flow.sources if by_source else flow.categories()
    total = flow.total()
    steps = (_step(step, before, groups) for before, step in zip([None, *total.after], total.after, strict=False))
    packing = FlowStep(name=LAST_STEP, added=(0,) * len(groups), drops=_dropped(LAST_STEP, groups))
    return Sankey(
        title=f"Rows from {'sources' if by_source else 'categories'} to training",
        groups=tuple(group.source if by_source else group.category for group in groups),
        read=tuple(group.read for group in groups),
        steps=tuple(step for step in (*steps, packing) if step.drops or any(step.added)),
        end="trained",
        stages=tuple((name, total.stages[stage]) for stage, name in stage_names.items() if stage in total.stages),
    )


def unchanged_steps(flow: LedgerFlow) -> tuple[str, ...]:
    """The steps that pass every row on."""
    shown = {step.name for step in ledger_sankey(flow, {}).steps}
    return tuple(step for step in flow.total().after if step not in shown)


def _step(step: str, before: str | None, groups: Sequence[SourceFlow]) -> FlowStep:
    lost = [sum(drop.rows for drop in group.dropped if drop.step == step) for group in groups]
    entered = [group.read if before is None else group.after[before] for group in groups]
    left = [group.after[step] for group in groups]
    added = tuple(out + gone - came for out, gone, came in zip(left, lost, entered, strict=True))
    return FlowStep(name=step, added=added, drops=_dropped(step, groups))


def _dropped(step: str, groups: Sequence[SourceFlow]) -> tuple[Dropped, ...]:
    """What a step drops by reason, the most first."""
    rows: dict[str, Counter[int]] = {}
    for number, group in enumerate(groups):
        for drop in _of_step(group, step):
            rows.setdefault(drop.reason, Counter())[number] += drop.rows
    ordered = sorted(rows.items(), key=lambda item: (-item[1].total(), item[0]))
    if len(ordered) > MANY_REASONS:
        rest: Counter[int] = Counter()
        for _, counts in ordered[MANY_REASONS - 1 :]:
            rest.update(counts)
        ordered = [*ordered[: MANY_REASONS - 1], (f"{len(ordered) - MANY_REASONS + 1} other reasons", rest)]
    return tuple(
        Dropped(reason=reason, rows=tuple(counts[number] for number in range(len(groups))))
        for reason, counts in ordered
    )


def _of_step(group: SourceFlow, step: str) -> list[Drop]:
    return [drop for drop in group.dropped if drop.step == step and drop.rows]
