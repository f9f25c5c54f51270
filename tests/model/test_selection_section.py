from types import SimpleNamespace

from data.reporting.html import Chart, Details, Page, Table, render_page
from model.evaluation.sections.selection import selection_section

REPORT = {
    "categories": {
        "chart_table": {
            "strategy": "kmeans", "quota": 40, "of": 900, "kept": 40, "clusters": 30, "coverage": 1.0,
            "before": list(range(1, 31)), "after": [1] * 30, "mosaic": [],
        },
        "general_vqa": {
            "strategy": "coverage", "quota": 50, "of": 500, "kept": 50,
            "compared": {
                "radius": 0.2,
                "draw": {"mean_distance": 0.17, "tail_distance": 0.3, "within_radius": 0.71},
                "random": {"mean_distance": 0.22, "tail_distance": 0.5, "within_radius": 0.5},
            },
        },
    },
    "sources": [
        {"source": "b", "rows": 900, "quota": 60, "rule": "law", "auto_labelled": True, "kept": 40},
        {"source": "a", "rows": 500, "quota": 50, "rule": "explicit", "auto_labelled": False, "kept": 50},
        {"source": "gone", "rows": 0, "quota": 0, "rule": "law", "auto_labelled": False, "kept": 0},
    ],
}  # fmt: skip


def section(report):
    return selection_section(SimpleNamespace(document=lambda step: report, find=lambda ids, step: {}))


def table(found, caption):
    return next(block for block in found.blocks if isinstance(block, Table) and caption in block.caption)


def test_quotas_and_coverage_stand_in_tables():
    found = section(REPORT)
    rows = table(found, "quota by source").rows
    assert rows[0][:6] == ("b", "machine", "law", "900", "60", "40")
    assert rows[-1][3:6] == ("1,400", "110", "90")
    compared = table(found, "Distance").rows
    assert [row[1] for row in compared] == ["coverage", "random, equal size"]
    assert [row[2] for row in compared] == ["0.170", "0.220"]
    assert b"general_vqa" in render_page(Page(title="t", subtitle="s", sections=(found,)))


def test_bars_show_the_largest_clusters_first():
    details = next(block for block in section(REPORT).blocks if isinstance(block, Details))
    chart = next(block for block in details.blocks if isinstance(block, Chart)).figures[0]
    before = chart.series[0][1]
    assert list(before) == sorted(before, reverse=True)
    assert before[0] == 30
    assert len(before) == 24


def test_without_quotas_there_is_no_table_of_them():
    report = {**REPORT, "sources": [{**entry, "rule": "all"} for entry in REPORT["sources"]]}
    assert not [block for block in section(report).blocks if isinstance(block, Table) and "quota by" in block.caption]
