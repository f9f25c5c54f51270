"""Promotion: the candidate beside the last accepted checkpoint, with intervals, and what was decided."""

from typing import Any

from data.reporting.html import Badge, Block, Cell, Chart, KeyValues, Section, Table, Text, Tone
from data.reporting.intervals import IntervalPlot, IntervalRow
from model.evaluation.promotion.decision import confidence_text
from model.evaluation.promotion.gate import STEP
from model.evaluation.promotion.views import WORDS, interval, line_label, points, share, verdict
from model.evaluation.run_folder import RunFolder

TONES: dict[str, Tone] = {"better": "good", "same": "plain", "worse_allowed": "warn", "new": "plain"}
LEVELS = ("source", "category", "benchmark")
BENCHMARKS = (
    " A benchmark is compared by what its published score is a mean of: a question, one of CircularEval only if every "
    "rotation of it is right; HallusionBench in three lines, by question, figure and question over its figures."
)
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
    present = {line["level"] for line in report["lines"]} | {"source"}
    blocks += [_table(level, report) for level in LEVELS if level in present]
    blocks.append(_reasons(report))
    return Section(title="Promotion", blocks=tuple(blocks))


def _in_words(report: dict[str, Any]) -> str:
    benchmarks = BENCHMARKS if any(line["level"] == "benchmark" for line in report["lines"]) else ""
    all_lines = report["confidence_together"]
    family = f" All intervals together hold with {confidence_text(all_lines)} % confidence." if all_lines else ""
    return (
        "The last stage's answers against those of the last accepted checkpoint, question by question where both have "
        "it, scored by the same rules. Scores are per cent. Questions that share an image or a conversation are drawn "
        f"together, {report['resamples']:,} times, for the interval. A line whose interval holds zero is the same."
        + family
        + benchmarks
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
        ("Rules of held-out questions", report["rules"]),
        *((("Rules of benchmarks", rules),) if (rules := report.get("benchmark_rules")) else ()),
        *((("Judge", judge),) if (judge := report.get("judge")) else ()),
    ]
    return (*items, *(("Note", note) for note in report["notes"]))


def _table(level: str, report: dict[str, Any]) -> Table:
    rows = tuple(_row(line) for line in report["lines"] if line["level"] == level)
    return Table(headers=(level.capitalize(), *HEADERS), rows=rows)


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
    rows = tuple((line_label(line), "; ".join([line["reason"], *line["notes"]])) for line in report["lines"])
    return Table(headers=("Line", "Why"), rows=rows)


def _tone(line: dict[str, Any]) -> Tone:
    return "bad" if line["refused"] else TONES.get(line["decision"], "warn")


def _bar(line: dict[str, Any]) -> IntervalRow:
    return IntervalRow(
        name=line_label(line),
        value=line["difference"],
        low=line["low"],
        high=line["high"],
        limit=-line["allowed_drop"],
        tone=_tone(line),
    )
