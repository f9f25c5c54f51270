"""The border after filtering: each expectation catches its own fault, in any order of tables and by source."""

import hashlib
import json
import pickle

import pyarrow as pa
import pytest

from data.errors import AerieError
from data.expectations.border import enforce_border
from data.expectations.measured import SUITE, MeasuredFacts, measured_border, measured_expectations, measured_facts
from data.expectations.suites import run_suite, summary
from data.settings.expectations import ExpectationSettings
from data.storage import Manifest, commit, read_attachment

REASONS = ("refusal", "repeated_text")
SETTINGS = ExpectationSettings(max_drop_share=0.6, min_rows_judged=4)


def name(source, number):
    return hashlib.sha256(f"{source}{number}".encode()).hexdigest()[:32]


def rows(source="a", count=6, dropped=2):
    return [
        {
            "sample_id": name(source, i),
            "source": source,
            "category": "chart_table",
            "answer_chars": 10 + i,
            "repeated_ngram_ratio": i / 10,
            "relevance": -1.0 if i == 0 else 1.0,
            "details": "{}",
            "reason": REASONS[i % 2] if i < dropped else None,
        }
        for i in range(count)
    ]


def failed(gate, measured, settings=SETTINGS):
    facts = measured_facts([pa.Table.from_pylist(gate)], [pa.Table.from_pylist(measured)], REASONS)
    result = run_suite(SUITE, measured_expectations(facts.measure_names(), settings), facts.frame(settings), "source")
    entries = summary(result, "source")
    assert not [entry["exception"] for entry in entries if entry["exception"]]
    return {entry["name"]: entry for entry in entries if not entry["success"]}


def test_good_rows_pass():
    good = rows() + rows("b", 3, 0)
    assert failed(good, good[::-1]) == {}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"answer_chars": None}, {"answer_chars_complete"}),
        ({"answer_chars": float("nan")}, {"answer_chars_complete"}),
        ({"relevance": float("nan")}, set()),
        ({"repeated_ngram_ratio": float("inf")}, {"repeated_ngram_ratio_complete"}),
        ({"repeated_ngram_ratio": 1.5}, {"repeated_ngram_ratio_not_above_range"}),
        ({"relevance": -1.01}, {"relevance_not_below_range"}),
        ({"answer_chars": -1}, {"answer_chars_not_below_range"}),
        ({"reason": "whim"}, {"reasons_known"}),
        ({"sample_id": name("a", 99)}, {"ids_equal_gate"}),
        ({"sample_id": name("a", 4)}, {"ids_equal_gate", "sample_id_unique"}),
        ({"sample_id": name("a", 0)}, {"ids_equal_gate", "sample_id_unique", "kept_apart_from_dropped"}),
    ],
)
def test_each_expectation_catches_its_fault_and_names_the_source(change, names):
    good = rows("b", 3, 0) + rows()
    bad = [dict(row) for row in good]
    bad[-1] |= change
    found = failed(good, bad)
    assert set(found) == names
    assert all(entry["severity"] == "critical" for entry in found.values())
    assert all(example.startswith("a: ") for entry in found.values() for example in entry["examples"])


def test_lost_rows_and_sources_are_noticed():
    good = rows() + rows("b", 6, 0)
    assert set(failed(good, good[:-1])) == {"rows_equal_gate", "ids_equal_gate"}
    assert set(failed(good, good[:6])) == {"rows_equal_gate", "ids_equal_gate", "no_source_lost"}
    assert set(failed(good[:6], good)) == {"rows_equal_gate", "ids_equal_gate"}


def test_a_source_that_loses_too_much_is_critical_unless_it_is_small():
    found = failed(rows(dropped=5), rows(dropped=5))
    assert set(found) == {"drop_share_below_limit"}
    assert found["drop_share_below_limit"]["examples"] == [f"a: {5 / 6}"]
    small = failed(rows(count=3, dropped=3), rows(count=3, dropped=3))
    assert {key: entry["severity"] for key, entry in small.items()} == {"no_source_lost": "warning"}


def test_facts_of_parts_merged_are_the_facts_of_the_whole():
    everything = rows() + rows("b", 5, 1) + rows("c", 4, 0)
    everything.append(everything[0] | {"reason": None})
    whole = measured_facts([pa.Table.from_pylist(everything)], [pa.Table.from_pylist(everything)], REASONS)
    parts = [everything[i::3] for i in range(3)]
    merged = MeasuredFacts(reasons=frozenset(REASONS))
    for part in reversed(parts):
        seen = measured_facts([pa.Table.from_pylist(part)], [pa.Table.from_pylist(part)], REASONS)
        merged.merge(pickle.loads(pickle.dumps(seen)))  # as a worker process hands it over
    assert merged.frame(SETTINGS).equals(whole.frame(SETTINGS))
    assert merged.frame(SETTINGS).set_index("source")["kept_and_dropped"].to_dict() == {"a": 2, "b": 0, "c": 0}


def written(folder, measured):
    facts = measured_facts([pa.Table.from_pylist(measured)], [pa.Table.from_pylist(measured)], REASONS)
    attachments = measured_border(folder, facts, SETTINGS)
    manifest = Manifest(
        step="filtering", fingerprint="", recipe_sha256="", rows=0, shards=(), attachments=dict(attachments)
    )
    return commit(folder, manifest)


def test_the_report_is_written_and_enforcement_names_what_failed(tmp_path, caplog):
    bad = rows(dropped=5)
    bad[-1]["answer_chars"] = None
    manifest = written(str(tmp_path / "bad"), bad)
    report = json.loads(read_attachment(str(tmp_path / "bad"), manifest, "expectations"))
    assert not report["success"]
    assert report["facts"][0]["answer_chars.missing"] == 1
    assert b"answer_chars" in read_attachment(str(tmp_path / "bad"), manifest, "docs")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]  # the page shows every result
    with pytest.raises(
        AerieError, match=r"(?s)filtering failed on 2 of.*drop_share_below_limit.*answer_chars_complete.*docs\.html"
    ):
        enforce_border(str(tmp_path / "bad"))
    good = written(str(tmp_path / "good"), rows())
    enforce_border(str(tmp_path / "good"))
    assert written(str(tmp_path / "again"), rows()).sha256() == good.sha256()
