"""The border after selection: each expectation catches its own fault, in any order of tables."""

import hashlib

import pytest

from data.expectations.selected import SUITE, SelectedFacts, selected_expectations, stage_table
from data.expectations.suites import run_suite, summary
from data.settings.expectations import ExpectationSettings

QUOTAS = {("category", "chart_table"): 4, ("source", "b"): 3}


def name(source, number):
    return hashlib.sha256(f"{source}{number}".encode()).hexdigest()[:32]


def rows(source="a", category="chart_table", drawn=4):
    return [
        {
            "sample_id": name(source, i),
            "source": source,
            "category": category,
            "stages": ["stage_1_5"] + (["stage_2"] if i < drawn else []) + (["stage_1"] if i == 7 else []),
            "cluster": i % 4 if category == "chart_table" else None,
        }
        for i in range(8)
    ]


GOOD = rows() + rows("b", "text_only", 3)


def seen(filtered, selected, tables=1):
    facts = SelectedFacts()
    facts.expect(stage_table(filtered))
    for part in range(tables):
        facts.see(stage_table(selected[part::tables]))
    return facts


def failed(filtered, selected, **settings):
    facts = seen(filtered, selected)
    suite = selected_expectations(ExpectationSettings(**settings))
    entries = summary(run_suite(SUITE, suite, facts.frame(QUOTAS), "group"), "group")
    assert not [entry["exception"] for entry in entries if entry["exception"]]
    return {entry["name"]: entry for entry in entries if not entry["success"]}


def changed(place, **change):
    return [row | change if i == place else row for i, row in enumerate(GOOD)]


def test_good_rows_pass():
    assert failed(GOOD, GOOD[::-1]) == {}


@pytest.mark.parametrize(
    ("selected", "names"),
    [
        (GOOD[:-1], {"kept_rows_in_stage_1_5"}),
        (changed(5, sample_id=name("a", 99)), {"kept_rows_in_stage_1_5"}),
        (changed(5, stages=["stage_1"]), {"kept_rows_in_stage_1_5", "every_row_in_stage_1_5"}),
        (changed(5, stages=[]), {"kept_rows_in_stage_1_5", "every_row_in_stage_1_5"}),
        (
            changed(0, stages=["stage_2"]),
            {"kept_rows_in_stage_1_5", "every_row_in_stage_1_5", "stage_2_within_stage_1_5"},
        ),
        (changed(5, stages=["stage_1_5", "stage_3"]), {"stages_known"}),
        (changed(5, stages=["stage_1_5", "stage_1", "stage_1"]), {"stages_named_once"}),
        (changed(5, stages=["stage_1_5", "stage_2"]), {"quotas_respected"}),
        (changed(13, stages=["stage_1_5", "stage_2"]), {"quotas_respected"}),
        ([*GOOD, GOOD[5]], {"kept_rows_in_stage_1_5", "sample_id_unique"}),
    ],
)
def test_each_expectation_catches_its_fault(selected, names):
    found = failed(GOOD, selected)
    assert set(found) == names
    assert all(entry["severity"] == "critical" for entry in found.values())


def test_quotas_name_the_group():
    found = failed(GOOD, changed(13, stages=["stage_1_5", "stage_2"]))
    assert found["quotas_respected"]["examples"] == ["source b: 1.0"]


def test_a_lopsided_stage_2_is_a_warning():
    one_cluster = [row | {"cluster": 0 if row["stages"][-1] == "stage_2" else row["cluster"]} for row in GOOD[8:]]
    few = [row | {"cluster": 9 if "stage_2" in row["stages"] else i} for i, row in enumerate(GOOD[:8])]
    found = failed(GOOD, few + one_cluster)
    assert {key: entry["severity"] for key, entry in found.items()} == {"coverage_reasonable": "warning"}
    assert set(failed(GOOD, GOOD, max_category_share=0.5)) == {"category_share_reasonable"}


def test_shards_must_have_the_same_columns():
    facts = seen(GOOD, GOOD[:8])
    facts.see(stage_table(GOOD[8:]).append_column("luck", [[0.5] * 8]))
    suite = selected_expectations(ExpectationSettings())
    entries = summary(run_suite(SUITE, suite, facts.frame(QUOTAS), "group"))
    assert [entry["name"] for entry in entries if not entry["success"]] == ["columns_equal_in_all_shards"]


def test_facts_of_parts_merged_are_the_facts_of_the_whole():
    merged = SelectedFacts()
    for part in (GOOD[1::2], GOOD[::2]):
        merged.merge(seen(part, part))
    whole = seen(GOOD, GOOD, tables=3).frame(QUOTAS)
    assert merged.frame(QUOTAS).equals(whole)
    assert whole.set_index("group").loc["category chart_table"][["rows", "stage_2", "coverage"]].tolist() == [8, 4, 1]
    other = seen(GOOD, changed(3, sample_id=name("a", 99))).frame(QUOTAS).set_index("group")["stage_2_digest"]
    digests = whole.set_index("group")["stage_2_digest"]
    assert other["category chart_table"] != digests["category chart_table"]
    assert other["category text_only"] == digests["category text_only"]
