"""The section of the run's page says what the gate's report says, and hostile names stay text."""

import json
import re
from pathlib import Path

import pytest
from promotion_runs import GatedRun, answers, benchmark_answers

from data.reporting.html import Badge, Chart, KeyValues, Page, Table, Text, render_page
from model.evaluation.promotion.views import comparison_markdown, comparison_metrics
from model.evaluation.sections.promotion import promotion_section

EVIL = "<img src=x onerror=alert(1)>"


class Documents:
    """What the section asks of a run's folder."""

    def __init__(self, report):
        self.report = report

    def document(self, step):
        assert step == "promotion"
        return self.report


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Four sources: better, the same, a regression and a new one; a hostile name; a category of all."""
    storage = str(tmp_path_factory.mktemp("promotion"))
    before = [*answers(30), *answers(9, source="digits"), *answers(0, source=EVIL)]
    first = GatedRun(storage, "first", before, {})
    first.compare()
    first.accept()
    after = [*answers(6), *answers(10, source="digits"), *answers(30, source=EVIL), *answers(3, source="new")]
    second = GatedRun(storage, "second", after, {"sources": {"absent": {"allowed_drop": 0.1}}})
    second.compare()
    return json.loads(Path(second.uri, "promotion/report.json").read_text())


def blocks(report, kind):
    return [block for block in promotion_section(Documents(report)).blocks if isinstance(block, kind)]


def test_every_line_stands_there_with_its_decision(report):
    sources, categories, reasons = blocks(report, Table)
    names = [row[0] for row in sources.rows] + [f"{row[0]} (category)" for row in categories.rows]
    assert [row[0] for row in reasons.rows] == names
    assert all(why for _, why in reasons.rows)
    decisions = {row[0]: row[-1] for row in sources.rows}
    assert decisions == {
        "easy-vqa": Badge("better", "good"),
        "digits": Badge("same", "plain"),
        EVIL: Badge("regression", "bad"),
        "new": Badge("new", "plain"),
    }
    assert [row[0] for row in categories.rows] == ["general_vqa"]
    values = dict(item for block in blocks(report, KeyValues) for item in block.items)
    assert values["Decision"] == Badge("refused", "bad")
    assert values["Predecessor"].startswith("number 1, run first of 20")
    assert "promotion.sources.absent concerns nothing" in values["Note"]


def test_the_picture_has_every_line_that_has_a_difference(report):
    (chart,) = blocks(report, Chart)
    (plot,) = chart.figures
    assert {row.name: row.tone for row in plot.rows} == {
        "easy-vqa": "good", "digits": "plain", EVIL: "bad", "general_vqa (category)": "plain"
    }  # fmt: skip
    assert all(row.low <= row.value <= row.high for row in plot.rows)


def test_hostile_names_stay_text(report):
    page = render_page(Page(title="t", subtitle="s", sections=(promotion_section(Documents(report)),))).decode()
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert not re.search(r"(?<!\\)<img", comparison_markdown(report))


def test_the_kfp_views_say_the_same(report):
    markdown = comparison_markdown(report)
    assert markdown.startswith("# Promotion: refused\n")
    assert sum("regression" in line for line in markdown.splitlines()) == 1
    metrics = comparison_metrics(report)
    assert (metrics["promotion.accepted"], metrics["promotion.refused"], metrics["promotion.lines"]) == (0, 1, 5)
    assert metrics["promotion.source.easy-vqa"] == pytest.approx(0.4)


@pytest.fixture(scope="module")
def with_benchmarks(tmp_path_factory):
    """A second checkpoint that fell on one benchmark alone."""
    storage = str(tmp_path_factory.mktemp("benchmarks"))
    first = GatedRun(storage, "first", answers(0), {}, benchmarks=benchmark_answers())
    first.compare()
    first.accept()
    second = GatedRun(storage, "second", answers(0), {}, benchmarks=benchmark_answers({"local-math"}))
    second.compare()
    return json.loads(Path(second.uri, "promotion/report.json").read_text())


def test_benchmarks_have_a_table_of_their_own(with_benchmarks):
    sources, benchmarks, _ = blocks(with_benchmarks, Table)
    assert (sources.headers[0], benchmarks.headers[0]) == ("Source", "Benchmark")
    decisions = {row[0]: row[-1] for row in benchmarks.rows}
    assert decisions["local-math"] == Badge("regression", "bad")
    assert decisions["local-vqa"] == Badge("same", "plain")
    assert len(decisions) == 9
    values = dict(item for block in blocks(with_benchmarks, KeyValues) for item in block.items)
    assert (values["Rules of held-out questions"], values["Rules of benchmarks"]) == ("local 1", "eagle2 1")
    assert "HallusionBench in three lines" in blocks(with_benchmarks, Text)[0].text
    (chart,) = blocks(with_benchmarks, Chart)
    assert "local-math (benchmark)" in {row.name for row in chart.figures[0].rows}
    metrics = comparison_metrics(with_benchmarks)
    assert metrics["promotion.benchmark.local-math"] == -1
    (row,) = [
        line for line in comparison_markdown(with_benchmarks).splitlines() if "local-math" in line and "|" in line
    ]
    assert row.startswith("| local-math | benchmark | regression |")


def test_a_report_from_before_benchmarks_is_shown(report):
    old = {name: value for name, value in report.items() if name != "benchmark_rules"}
    values = dict(item for block in blocks(old, KeyValues) for item in block.items)
    assert "Rules of benchmarks" not in values


def test_without_a_section_it_says_so():
    told = {"asked": False, "accepted": False, "reason": "The recipe has no section.", "lines": [], "notes": []}
    (text,) = promotion_section(Documents(told)).blocks
    assert text == Text("The recipe has no section.")
    assert comparison_metrics(told) == {}
    assert comparison_markdown(told).startswith("# Promotion: not asked")
