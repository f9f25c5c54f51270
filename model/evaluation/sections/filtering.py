"""The filters: each rule with its threshold, the values that it met, its drops by source, and examples."""

from typing import Any

from data.reporting.html import Badge, Block, Chart, Details, KeyValues, Section, Table, Text
from data.reporting.svg import Histogram
from model.evaluation.run_folder import RunFolder

SHOWN_PER_REASON = 3


def filtering_section(run: RunFolder) -> Section:
    """What the filtering step's report says."""
    report = run.document("filtering")
    reasons, rules = report["reasons"], report["rules"]
    dropped = sum(entry["count"] for entry in reasons.values())
    return Section(
        title="Filters",
        blocks=(
            Text(f"{report['measured_rows']:,} samples measured, {dropped:,} dropped by the recipe's thresholds."),
            Table(
                headers=("Reason", "Dropped"),
                rows=tuple((name, f"{entry['count']:,}") for name, entry in reasons.items()),
                empty="Every sample passed every filter.",
            ),
            Details(summary="Rules in order, and the values they met", blocks=_rules(rules)),
            Details(summary="Dropped rows by source", blocks=(_by_source(rules),)),
            Details(
                summary="Settings",
                blocks=(KeyValues(tuple((name, _shown(value)) for name, value in report["thresholds"].items())),),
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


def _rules(rules: list[dict[str, Any]]) -> tuple[Block, ...]:
    """A table of all rules, and a histogram of each measure that varies."""
    table = Table(
        headers=("Reason", "Measure", "Drops when", "Fired", "Dropped", "Median", "99 %", "Highest"),
        rows=tuple(
            (
                rule["reason"],
                rule["meaning"],
                f"{rule['beyond']} {_shown(rule['threshold'])}",
                f"{rule['fired']:,}",
                f"{sum(rule['dropped'].values()):,}",
                *_quantiles(rule),
            )
            for rule in rules
        ),
    )
    note = Text("A row that several rules fire for counts as fired for each, and as dropped for the first of them.")
    charts = tuple(_histogram(rule) for rule in rules if len(rule["histogram"]) > 1)
    return (table, note, Chart(figures=charts)) if charts else (table, note)


def _quantiles(rule: dict[str, Any]) -> tuple[str, ...]:
    values = {share: value for share, value in rule["quantiles"] if value is not None}
    return tuple(_shown(values[share]) if share in values else "–" for share in (0.5, 0.99, 1.0))


def _histogram(rule: dict[str, Any]) -> Histogram:
    bins = rule["histogram"]
    return Histogram(
        title=rule["measure"],
        x_label=rule["measure"].replace("_", " "),
        y_label="rows",
        edges=(*(left for left, _, _ in bins), bins[-1][1]),
        counts=tuple(rows for _, _, rows in bins),
    )


def _by_source(rules: list[dict[str, Any]]) -> Table:
    return Table(
        headers=("Source", "Reason", "Dropped"),
        rows=tuple(
            sorted((source, rule["reason"], f"{rows:,}") for rule in rules for source, rows in rule["dropped"].items())
        ),
    )


def _shown(value: Any) -> str:
    """A setting or a value in a table."""
    return f"{value:,g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
