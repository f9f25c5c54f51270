"""Data ledger: rows read = rows trained + rows dropped by step and reason, per source and per category."""

from data.ledger_picture import ledger_sankey, unchanged_steps
from data.ledger_report import LedgerFlow, SourceFlow
from data.reporting.html import Badge, Cell, Chart, Details, Section, Table, Text
from model.evaluation.sections.scoreboard import STAGE_NAMES
from model.recipe import STAGES

LONG_TABLE = 40  # lines
NAMES = 6  # in one cell


def ledger_section(flow: LedgerFlow) -> Section:
    """The flow of all rows; it closes, or `ledger_flow` would have raised."""
    total = flow.total()
    return Section(
        title="Data ledger",
        blocks=(
            Text(
                "Every training row that a source offered is accounted for: rows read + rows added by augmentation = "
                "rows trained in at least one stage + rows dropped. Held-out rows are kept apart from the start and "
                "are not counted here."
            ),
            Chart(figures=(ledger_sankey(flow, STAGE_NAMES),)),
            _remark(flow),
            _folded(_sources(flow, total)),
            _categories(flow, total),
            _folded(_drops(flow)),
        ),
    )


def _folded(table: Table) -> Table | Details:
    """A table, behind a click when it would fill the page."""
    if len(table.rows) <= LONG_TABLE:
        return table
    return Details(summary=f"{table.caption} ({len(table.rows):,} lines)", blocks=(table,))


def _remark(flow: LedgerFlow) -> Text:
    unchanged = unchanged_steps(flow)
    passed = f" No row was added or dropped in: {', '.join(unchanged)}." if unchanged else ""
    return Text(
        "Widths are proportional to rows, but no band is drawn thinner than 1 unit of the picture's 980. The figure "
        "above a step is what leaves it. The stages at the right overlap: a row may be trained in several."
        f"{passed} Each band says its figures when pointed at."
    )


def _row(name: str, flow: SourceFlow) -> tuple[Cell, ...]:
    closes = flow.read + flow.added == flow.trained + flow.lost
    return (
        name,
        f"{flow.read:,}",
        f"{flow.added:,}",
        f"{flow.lost:,}",
        f"{flow.trained:,}",
        *(f"{flow.stages[stage]:,}" for stage in STAGES),
        Badge("closes", "good") if closes else Badge("open", "bad"),
    )


HEADERS = ("Read", "Added", "Dropped", "Trained", *(STAGE_NAMES[stage] for stage in STAGES), "Sum")


def _sources(flow: LedgerFlow, total: SourceFlow) -> Table:
    rows = [(*_row(item.source, item)[:1], item.category, *_row(item.source, item)[1:]) for item in flow.sources]
    last = _row("All", total)
    return Table(
        caption="By source",
        headers=("Source", "Category", *HEADERS),
        rows=(*rows, (last[0], "", *last[1:])),
        total=True,
    )


def _categories(flow: LedgerFlow, total: SourceFlow) -> Table:
    rows = [(item.category, _few(item.source), *_row("", item)[1:]) for item in flow.categories()]
    return Table(
        caption="By category",
        headers=("Category", "Sources", *HEADERS),
        rows=(*rows, ("All", "", *_row("", total)[1:])),
        total=True,
    )


def _few(names: str) -> str:
    """The first of many names; all of them stand in the table of sources."""
    first = names.split(", ")
    return names if len(first) <= NAMES else f"{', '.join(first[:NAMES])} and {len(first) - NAMES} more"


def _drops(flow: LedgerFlow) -> Table:
    return Table(
        caption="What was dropped, where and why",
        headers=("Source", "Step", "Reason", "Rows", "Share of the source"),
        rows=tuple(
            (item.source, drop.step, drop.reason, f"{drop.rows:,}", f"{100 * drop.rows / item.read:.1f} %")
            for item in flow.sources
            for drop in item.dropped
        ),
        empty="No row was dropped.",
    )
