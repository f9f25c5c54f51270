import io
import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from data.curation.filtering import MEASURE_OF, decide, describe, filter_samples, snippet
from data.curation.measures import measure, measures_from
from data.images import encode_png, image_ref
from data.ledger import Tally
from data.schema import Turn, make_sample
from data.settings.filtering import FilterSettings
from data.storage import Manifest, commit, read_attachment, read_samples, write_samples

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

    call.out = str(tmp_path / "filtering")
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
    measures = Path(run.out, "measures.parquet")
    stamp = measures.stat().st_mtime_ns

    def never(sample):
        raise AssertionError("measured again")

    monkeypatch.setattr("data.curation.filtering.measure", never)
    second = run(max_repeated_ngram_ratio=0.4)
    assert measures.stat().st_mtime_ns == stamp
    assert second.attachments["measures"] == first.attachments["measures"]
    assert first.rows - second.rows == 1  # "I am not sure." three times
    assert run(max_mismatched_turns=1).rows == first.rows + 3
    assert measures.stat().st_mtime_ns == stamp


def test_a_damaged_measures_file_is_measured_again(run):
    first = run()
    Path(run.out, "measures.parquet").write_bytes(b"PAR1 broken")
    assert run(max_answer_chars=9000).rows == first.rows + 1
    assert len(measures_from(Path(run.out, "measures.parquet").read_bytes())) == len(LABELLED)


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
    table = pq.read_table(io.BytesIO(read_attachment(run.out, manifest, "measures")))
    assert table.column("sample_id").to_pylist() == [sample.sample_id for _, sample in LABELLED]


def test_decisions_are_thresholds_on_measures():
    measures = measure(LABELLED[0][1])
    assert decide(measures, FilterSettings()) == (False, "empty_turn")
    beyond = measure(make(("What is in the picture?", "a dog"), image=False))
    assert decide(beyond, FilterSettings()) == (True, "")
    assert decide(beyond, FilterSettings(min_image_text_relevance=0)) == (False, "irrelevant_image")
    assert "no image" in describe(beyond, "irrelevant_image")
    assert set(MEASURE_OF.values()) <= set(type(measures).__dataclass_fields__)


def test_a_snippet_is_short():
    assert snippet(LABELLED[0][1]).startswith("user: <image>\nWhat is it?\nassistant:")
    assert len(snippet(LABELLED[6][1])) == 300
