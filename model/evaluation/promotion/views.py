"""What the promotion task shows in the KFP UI: numbers and a table in Markdown."""

from typing import Any

from data.reporting.markdown import escaped, markdown_table

WORDS = {
    "better": "better",
    "same": "same",
    "worse_allowed": "worse, allowed",
    "regression": "regression",
    "new": "new",
    "gone": "gone",
    "unmatched": "not comparable",
    "unjudged": "needs a judge",
    "below_minimum": "below minimum",
}
HEADERS = (
    "line",
    "level",
    "decision",
    "why",
    "shared",
    "before, %",
    "now, %",
    "difference",
    "interval",
    "allowed drop",
)


def comparison_rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row of texts for each line of a report, in the order of `HEADERS`; differences are points of per cent."""
    return [
        (
            line["name"],
            line["level"],
            WORDS[line["decision"]],
            "; ".join([line["reason"], *line["notes"]]),
            f"{line['shared']:,}",
            share(line["before"]),
            share(line["after"] if line["after"] is not None else line["score"]),
            points(line["difference"]),
            interval(line),
            share(line["allowed_drop"]),
        )
        for line in report["lines"]
    ]


def comparison_markdown(report: dict[str, Any]) -> str:
    """The whole report as a page in Markdown."""
    title = f"# Promotion: {verdict(report)}"
    lines = f"\n\n{markdown_table(HEADERS, comparison_rows(report), left=4)}" if report["lines"] else ""
    return f"{title}\n\n{escaped(against(report))}{lines}"


def comparison_metrics(report: dict[str, Any]) -> dict[str, float]:
    """`promotion.accepted` (1 or 0), counts of lines, and the difference of each line that has one."""
    if not report["asked"]:
        return {}
    differences = {
        f"promotion.{line['level']}.{line['name']}": line["difference"]
        for line in report["lines"]
        if line["difference"] is not None
    }
    counts = {"promotion.accepted": float(report["accepted"]), "promotion.lines": float(len(report["lines"]))}
    return counts | {"promotion.refused": float(sum(line["refused"] for line in report["lines"]))} | differences


def line_label(line: dict[str, Any]) -> str:
    """A line's name where sources, categories and benchmarks stand together."""
    return str(line["name"]) if line["level"] == "source" else f"{line['name']} ({line['level']})"


def verdict(report: dict[str, Any]) -> str:
    """In a few words."""
    if not report["asked"]:
        return "not asked"
    return "accepted" if report["accepted"] else "refused"


def against(report: dict[str, Any]) -> str:
    """Why, and what it was compared with."""
    if not report["asked"]:
        return str(report["reason"])
    before = report["predecessor"]
    than = f"number {before['number']}, run {before['run_id']} of {before['date'][:10]}" if before else "none"
    said = f"{report['model']}: {report['reason']}. Predecessor: {than}."
    return " ".join([said, *(f"Note: {note}." for note in report["notes"])])


def share(value: float | None) -> str:
    """Per cent with one decimal, a dash for nothing."""
    return "–" if value is None else f"{100 * value:.1f}"


def points(value: float | None) -> str:
    """A difference in points of per cent with its sign."""
    return "–" if value is None else f"{100 * value:+.1f}"


def interval(line: dict[str, Any]) -> str:
    """The interval of a line's difference."""
    return "–" if line["low"] is None else f"{points(line['low'])} to {points(line['high'])}"
