"""The section of the run's page says what the gate's report says, and hostile names stay text."""

import json
import re
from pathlib import Path

import pytest
from promotion_runs import GatedRun, answers

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
    assert [row[0] for row in reasons.rows] == [row[0] for table in (sources, categories) for row in table.rows]
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


def test_without_a_section_it_says_so():
    told = {"asked": False, "accepted": False, "reason": "The recipe has no section.", "lines": [], "notes": []}
    (text,) = promotion_section(Documents(told)).blocks
    assert text == Text("The recipe has no section.")
    assert comparison_metrics(told) == {}
    assert comparison_markdown(told).startswith("# Promotion: not asked")
