"""Promotion: the candidate beside the last accepted checkpoint, with intervals, and what was decided."""

from typing import Any

from data.reporting.html import Badge, Block, Cell, Chart, KeyValues, Section, Table, Text, Tone
from data.reporting.intervals import IntervalPlot, IntervalRow
from model.evaluation.promotion.decision import confidence_text
from model.evaluation.promotion.gate import STEP
from model.evaluation.promotion.views import WORDS, interval, points, share, verdict
from model.evaluation.run_folder import RunFolder

TONES: dict[str, Tone] = {"better": "good", "same": "plain", "worse_allowed": "warn", "new": "plain"}
HEADERS = ("Asked", "Shared", "Before", "Now", "Difference", "Interval", "Allowed drop", "Decision")


def promotion_section(run: RunFolder) -> Section:
    """The decision, the differences as a picture and as a table."""
    report = run.document(STEP)
    if not report["asked"]:
        return Section(title="Promotion", blocks=(Text(report["reason"]),))
    blocks: list[Block] = [Text(_in_words(report)), KeyValues(_decision(report))]
    rows = tuple(_bar(line) for line in report["lines"] if line["difference"] is not None)
    if rows:
        title = "Difference to the last accepted checkpoint, points of per cent"
        label = (
            f"score now minus score before, with {confidence_text(report['confidence'])} % interval; dashed: the limit"
        )
        plot = IntervalPlot(title=title, x_label=label, rows=rows, x_format=lambda value: f"{100 * value:+.3g}")
        blocks.append(Chart(figures=(plot,)))
    blocks.append(_table("Source", "source", report))
    if any(line["level"] == "category" for line in report["lines"]):
        blocks.append(_table("Category", "category", report))
    blocks.append(_reasons(report))
    return Section(title="Promotion", blocks=tuple(blocks))


def _in_words(report: dict[str, Any]) -> str:
    all_lines = report["confidence_together"]
    family = f" All intervals together hold with {confidence_text(all_lines)} % confidence." if all_lines else ""
    return (
        "The last stage's answers against those of the last accepted checkpoint, question by question where both have "
        "it, scored by the same rules. Scores are per cent. Questions that share an image or a conversation are drawn "
        f"together, {report['resamples']:,} times, for the interval. A line whose interval holds zero is the same."
        + family
    )


def _decision(report: dict[str, Any]) -> tuple[tuple[str, Cell], ...]:
    before = report["predecessor"]
    against = f"number {before['number']}, run {before['run_id']} of {before['date'][:10]}" if before else "none"
    items: list[tuple[str, Cell]] = [
        ("Decision", Badge(verdict(report), "good" if report["accepted"] else "bad")),
        ("Because", report["reason"]),
        ("Name in the registry", report["model"]),
        ("Predecessor", against),
        ("Checkpoint", report["candidate"][:16]),
        ("Rules", report["rules"]),
    ]
    return (*items, *(("Note", note) for note in report["notes"]))


def _table(first: str, level: str, report: dict[str, Any]) -> Table:
    rows = tuple(_row(line) for line in report["lines"] if line["level"] == level)
    return Table(headers=(first, *HEADERS), rows=rows)


def _row(line: dict[str, Any]) -> tuple[Cell, ...]:
    return (
        line["name"],
        f"{line['questions']:,}",
        f"{line['shared']:,}",
        share(line["before"]),
        share(line["after"] if line["after"] is not None else line["score"]),
        points(line["difference"]),
        interval(line),
        share(line["allowed_drop"]),
        Badge(WORDS[line["decision"]], _tone(line)),
    )


def _reasons(report: dict[str, Any]) -> Table:
    """Why each line was decided so: too long for a column among the numbers."""
    rows = tuple((line["name"], "; ".join([line["reason"], *line["notes"]])) for line in report["lines"])
    return Table(headers=("Line", "Why"), rows=rows)


def _tone(line: dict[str, Any]) -> Tone:
    return "bad" if line["refused"] else TONES.get(line["decision"], "warn")


def _bar(line: dict[str, Any]) -> IntervalRow:
    name = line["name"] if line["level"] == "source" else f"{line['name']} (category)"
    return IntervalRow(
        name=name,
        value=line["difference"],
        low=line["low"],
        high=line["high"],
        limit=-line["allowed_drop"],
        tone=_tone(line),
    )
