"""The ledger section of a run with many sources: the picture stays, long tables fold."""

from data.ledger import StepCount
from data.ledger_report import ledger_flow
from data.reporting.html import Chart, Details, Page, Table, Text, render_page
from model.evaluation.sections.ledger import LONG_TABLE, ledger_section
from model.recipe import STAGES


def flow(sources):
    """Of each source one row of ten is a duplicate, one is too long for stage 1."""
    names = [f"source-{number:03}" for number in range(sources)]
    gate = [StepCount(source=name, rows_in=10, rows_out=9, dropped={"near_duplicate": 1}) for name in names]
    whole = [StepCount(source=name, rows_in=9, rows_out=9) for name in names]
    short = [StepCount(source=name, rows_in=9, rows_out=8, dropped={"too_long": 1}) for name in names]
    stages = {stage: short if stage == "stage_1" else whole for stage in STAGES}
    return ledger_flow([("gate", gate), ("formatting", whole)], stages, dict.fromkeys(names, "general_vqa"))


def kinds(section):
    return [type(block) for block in section.blocks]


def test_a_few_sources_are_shown_at_once():
    section = ledger_section(flow(3))
    assert kinds(section) == [Text, Chart, Text, Table, Table, Table]
    assert "No row was added or dropped in: formatting." in section.blocks[2].text


def test_many_sources_fold_and_still_stand_on_the_page():
    section = ledger_section(flow(LONG_TABLE))
    assert kinds(section) == [Text, Chart, Text, Details, Table, Table]
    page = render_page(Page(title="t", subtitle="", sections=(ledger_section(flow(200)),))).decode()
    assert "What was dropped, where and why (200 lines)" in page
    assert page.count("source-199") == 2
    assert "source-005 and 194 more" in page
    assert "Rows from categories to training" in page
