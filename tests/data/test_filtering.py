import hashlib
import io
import json
import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from data.curation.decisions import RULES
from data.curation.filtering import filter_samples
from data.curation.measures import MEASURES
from data.errors import AerieError
from data.images import encode_png, image_ref
from data.ledger import Tally
from data.schema import Turn, make_sample
from data.storage import Manifest, commit, read_attachment, read_manifest, read_samples, read_tables, write_samples

IMAGE = image_ref(encode_png(Image.new("RGB", (16, 16), "navy")), "navy.png")
CHART = {"chart": {"kind": "bar", "x": "year", "y": "price", "labels": ["1999", "2000"], "values": ["12.5", "8"]}}


def make(*pairs, source="mine", image=True, **meta):
    turns = []
    for index, (question, answer) in enumerate(pairs):
        place = "<image>\n" if image and index == 0 else ""
        turns += [Turn(role="user", content=place + question), Turn(role="assistant", content=answer)]
    images = (IMAGE,) if image else ()
    return make_sample(source=source, category="general_vqa", images=images, conversations=tuple(turns), meta=meta)


# What the step must say of each: "" keeps, else the reason.
LABELLED = [
    ("empty_turn", make(("What is it?", " "))),
    ("placeholder_leak", make(("What is it?", "<image> shows a dog"))),
    ("placeholder_leak", make(("What is it?", "a dog<|im_end|>"), source="web")),
    ("refusal", make(("What is it?", "I'm sorry, but I can't see the image."))),
    ("template_residue", make(("What is the result?", r"\begin{align*} x = 3"))),
    ("template_residue", make(("What is the result?", "The answer is {answer}."), source="web")),
    ("answer_too_long", make(("Describe it.", " ".join(f"word{n}" for n in range(900))))),
    ("repeated_text", make(("Describe it.", "a dog on a mat, " * 8))),
    ("repeated_turns", make(*[("what shape is it?", "circle")] * 4, ("what color is it?", "red"))),
    ("unsupported_precision", make(("What is the price for 1999?", "12.50731"), **CHART)),
    ("mismatched_answer", make(("is there a circle?", "blue"))),
    ("mismatched_answer", make(("Which?\nA. red\nB. blue", "D"), source="web")),
    ("mismatched_answer", make(("what color is it?", "red"), ("what color is it?", "blue"))),
    ("", make(("is there a circle?", "no"), ("what color is it?", "red"), tasks=["yes_no", "color"])),
    ("", make(("What is the price for 1999?", "12.5"), **CHART)),
    ("", make(("What is the average price?", "10.25"), **CHART)),
    ("", make(("Which?\nA. red\nB. blue", "B"), source="web")),
    ("", make(("What is the result?", r"\begin{align*} x = 3 \end{align*}"), source="web")),
    ("", make(("Read the text.", "3.14159 no no"), text="3.14159 no no")),
    ("", make(("Are you well?", "Software has no moods"), image=False, tasks=["dialogue"])),
    ("", make(("What does the sign say?", "no"), source="web")),
    ("", make(("Describe it.", "I am not sure. I am not sure. I am not sure. The bar is blue."), source="web")),
]


TEXT_RULES = [rule for rule in RULES if rule.measure in MEASURES]
COUNTS = [rule.threshold for rule in TEXT_RULES if not MEASURES[rule.measure].share]
SHARES = [rule.threshold for rule in TEXT_RULES if MEASURES[rule.measure].share]


@pytest.fixture
def run(tmp_path):
    """The step on the labelled samples; keyword arguments are filter settings."""
    tally = Tally("gate")
    tally.take("gone", 1)
    tally.drop("gone", "gate_rejected", 1)
    for _, sample in LABELLED:
        tally.take(sample.source)
        tally.keep(sample.source)
    gate = str(tmp_path / "gate")
    shards = write_samples(gate, (sample for _, sample in LABELLED), rows_per_shard=8)
    commit(
        gate,
        Manifest(
            step="gate", fingerprint="g", recipe_sha256="", rows=len(LABELLED), shards=shards, counts=tally.counts()
        ),
    )

    def call(**settings):
        data = {"sources": [{"name": "mine"}, {"name": "web"}, {"name": "gone"}], "filtering": settings}
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(yaml.safe_dump({"name": "t", "seed": 1, "data": data}))
        return filter_samples(str(recipe), "", gate, str(tmp_path / "filtering"))

    call.out, call.gate = str(tmp_path / "filtering"), gate
    return call


def test_precision_and_recall_of_the_whole_step(run):
    manifest = run()
    kept = {sample.sample_id for sample in read_samples(run.out, manifest)}
    dropped = {sample.sample_id for _, sample in LABELLED} - kept
    bad = {sample.sample_id for reason, sample in LABELLED if reason}
    assert len(dropped & bad) / len(dropped) >= 0.9
    assert len(dropped & bad) / len(bad) >= 0.9
    assert sum((Counter(count.dropped) for count in manifest.counts), Counter()) == Counter(
        reason for reason, _ in LABELLED if reason
    )


def test_the_ledger_closes_for_each_source(run):
    manifest = run()
    counts = {count.source: count for count in manifest.counts}
    assert set(counts) == {"mine", "web", "gone"}
    for source, count in counts.items():
        assert count.gap() == 0
        assert count.rows_in == sum(sample.source == source for _, sample in LABELLED)
    assert manifest.rows == sum(count.rows_out for count in manifest.counts) == sum(s.rows for s in manifest.shards)


def test_what_is_kept_is_untouched_and_in_order(run):
    kept = list(read_samples(run.out, run()))
    assert kept == [sample for reason, sample in LABELLED if not reason]


def test_a_new_threshold_does_not_measure_again(run, monkeypatch):
    first = run()
    files = sorted(Path(run.out, "measures").iterdir())
    stamps = [(file.name, file.stat().st_mtime_ns, file.read_bytes()) for file in files]

    def never(*arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr("data.curation.measuring.measure_shard", never)
    second = run(max_repeated_ngram_ratio=0.4)
    assert second.attachments["measures"] == first.attachments["measures"]
    assert first.rows - second.rows == 1  # "I am not sure." three times
    assert run(max_mismatched_turns=1).rows == first.rows + 3
    assert [
        (f.name, f.stat().st_mtime_ns, f.read_bytes()) for f in sorted(Path(run.out, "measures").iterdir())
    ] == stamps


def test_the_measures_are_a_table_of_their_own(run):
    manifest = run()
    measures = read_manifest(str(Path(run.out, "measures")))
    assert manifest.attachments["measures"]["sha256"] == measures.sha256()
    assert hashlib.sha256(read_attachment(run.out, manifest, "measures")).hexdigest() == measures.sha256()
    tables = pa.concat_tables(read_tables(str(Path(run.out, "measures")), measures))
    assert tables["sample_id"].to_pylist() == [sample.sample_id for _, sample in LABELLED]
    assert measures.lineage == manifest.lineage


def test_damaged_measures_are_named(run):
    run()
    Path(run.out, "measures", "shard-00001.parquet").write_bytes(b"PAR1 broken")
    with pytest.raises(AerieError, match=r"shard-00001\.parquet is truncated or changed"):
        run(max_answer_chars=9000)


def test_the_dropped_are_listed_with_their_reason(run):
    manifest = run()
    table = pq.read_table(io.BytesIO(read_attachment(run.out, manifest, "dropped")))
    expected = [(sample.sample_id, sample.source, reason) for reason, sample in LABELLED if reason]
    assert list(zip(*(column.to_pylist() for column in table.columns), strict=True)) == expected


def test_a_shard_that_keeps_all_is_copied(run):
    lax = (
        dict.fromkeys(COUNTS, 99)
        | dict.fromkeys(SHARES, 1.0)
        | dict.fromkeys(["max_answer_chars", "max_turn_chars"], 10**6)
    )
    manifest = run(**lax)
    gate = read_manifest(run.gate)
    assert manifest.shards == gate.shards
    assert manifest.rows == len(LABELLED)


def test_workers_don_t_change_the_result(run, monkeypatch):
    first = run(max_answer_chars=5000)
    shutil.rmtree(run.out)
    monkeypatch.setattr("data.curation.filtering.FEW_ROWS", 0)
    assert run(max_answer_chars=5000) == first


def test_the_same_call_again_does_nothing(run):
    first = run()
    stamp = Path(run.out, "manifest.json").stat().st_mtime_ns
    assert run() == first
    assert Path(run.out, "manifest.json").stat().st_mtime_ns == stamp


def test_the_report_shows_what_was_found(run):
    manifest = run()
    report = json.loads(read_attachment(run.out, manifest, "report"))
    assert report["measured_rows"] == len(LABELLED)
    assert set(report["reasons"]) == {reason for reason, _ in LABELLED if reason}
    refusal = report["reasons"]["refusal"]
    assert refusal["count"] == 1
    assert refusal["examples"][0]["detail"] == "I'm sorry, but I can't"
    assert "I can't see the image." in refusal["examples"][0]["before"]
    too_long = report["reasons"]["answer_too_long"]["examples"][0]
    assert too_long["detail"].startswith("answer_chars = ")
    assert len(too_long["before"]) == 300
    assert too_long["reasons"] == ["answer_too_long"]
    rules = {rule["reason"]: rule for rule in report["rules"]}
    assert rules["mismatched_answer"]["dropped"] == {"mine": 2, "web": 1}
    assert rules["mismatched_answer"]["quantiles"][-1] == [1.0, 1.0]
    assert sum(rows for _, _, rows in rules["answer_too_long"]["histogram"]) == len(LABELLED)
