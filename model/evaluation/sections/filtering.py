"""Filter examples: what was dropped and why, and what formatting changed (before and after)."""

from data.reporting.html import Badge, Details, KeyValues, Section, Table, Text
from model.evaluation.run_folder import RunFolder

SHOWN_PER_REASON = 3


def filtering_section(run: RunFolder) -> Section:
    """Dropped samples by reason with examples, from the filtering step's report."""
    report = run.document("filtering")
    reasons = report["reasons"]
    dropped = sum(entry["count"] for entry in reasons.values())
    return Section(
        title="Filters",
        blocks=(
            Text(f"{report['measured_rows']:,} samples measured, {dropped:,} dropped by the recipe's thresholds."),
            Table(
                headers=("Reason", "Dropped"),
                rows=tuple((name, f"{e['count']:,}") for name, e in reasons.items()),
                empty="Every sample passed every filter.",
            ),
            Details(
                summary="Thresholds",
                blocks=(KeyValues(tuple((name, f"{value:,g}") for name, value in report["thresholds"].items())),),
            ),
            Table(
                caption="Examples",
                headers=("Reason", "Source", "Before", "Finding", "After"),
                rows=tuple(
                    (reason, example["source"], example["before"], example["detail"], Badge("dropped", "bad"))
                    for reason, entry in reasons.items()
                    for example in entry["examples"][:SHOWN_PER_REASON]
                ),
                empty="Nothing was dropped, so there is nothing to show.",
            ),
        ),
    )
