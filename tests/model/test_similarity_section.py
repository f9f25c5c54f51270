"""The gate's section on a run's folder that holds a validation step and a gate's report."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from data.images import encode_png, image_ref
from data.registry.sourcing import parquet_bytes
from data.reporting.html import Page, Pairs, Table, Text, render_page
from data.schema import Turn, make_sample, samples_to_table
from data.storage import Manifest, attach, commit, write_samples
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.similarity import similarity_section


def make(name, question, seed=None):
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    images = () if seed is None else (image_ref(encode_png(Image.fromarray(pixels)), "x.png"),)
    turns = (Turn(role="user", content=question), Turn(role="assistant", content="yes"))
    return make_sample(source=name, category="science", images=images, conversations=turns, meta={})


A, B, TALK, TALK_2 = make("a", "red?", 1), make("b", "Red?", 2), make("a", "Who?"), make("b", "Who is it?")
BENCH, OLD = make("bench", "red one?", 3), make("old", "a red one?", 4)


def pair(sample, other, place="run", **more):
    ids = {"sample_id": sample.sample_id, "nearest_id": other.sample_id}
    return {**ids, "nearest_source": other.source, "nearest_from": place, "similarity": 0.875, **more}


def cosines(sample, **ids):
    names = {key: value.sample_id for key, value in ids.items()}
    return {"sample_id": sample.sample_id, **names, "image_similarity": 0.9999, "text_similarity": 1.0}


def entry(source, neighbours, **more):
    common = {"category": "science", "rows": 2, "pool_rows": 3, "flag_above": 0.8, "reject_above": 0.98}
    across = {"cross_category_score": 0.25, "cross_category_sampled": True, "neighbours_from": "category"}
    return {"source": source, **common, **across, "score": 0.9, "decision": "flag", "neighbours": neighbours, **more}


REPORT = {
    "sources": [
        entry("a", [pair(A, OLD, "pool"), pair(TALK, make("old", "gone"), "pool")]),
        entry("b", [pair(B, A), pair(TALK_2, TALK)], neighbours_from="cross_category", score=None, decision="admit"),
    ],
    "pool": {"uri": "s3://bucket/old/embedding", "rows": 1234, "rows_of_this_recipes_sources": 0},
    "contamination": {
        "rule": "both",
        "turns": "equal",
        "image_above": 0.9995,
        "text_above": 0.99,
        "sets": {"heldout": 40, "bench": 5},
        "count": 1,
        "by_source": {"a": {"bench": 1}},
        "examples": [{**cosines(A, benchmark_id=BENCH), "source": "a", "benchmark": "bench"}],
    },
    "near_duplicates": {
        "count": 3,
        "exact": 1,
        "within_sources": 1,
        "across_sources": 2,
        "threshold": 0.9995,
        "pairs": [{"source": "b", "kept_source": "a", "count": 2}, {"source": "b", "kept_source": "b", "count": 1}],
        "examples": [{**cosines(TALK_2, kept_id=TALK), "source": "b", "kept_source": "a", "exact": False}],
    },
}


@pytest.fixture
def section(tmp_path):
    def call(report=REPORT):
        made = {"fingerprint": "x", "recipe_sha256": ""}
        validation, gate = str(tmp_path / "validation"), str(tmp_path / "gate")
        shards = write_samples(validation, [A, B, TALK, TALK_2])
        commit(validation, Manifest(step="validation", **made, rows=4, shards=shards))
        sides = {
            "report": attach(gate, "report.json", json.dumps(report).encode()),
            "examples": attach(gate, "examples.parquet", parquet_bytes(samples_to_table([BENCH, OLD]))),
        }
        commit(gate, Manifest(step="gate", **made, rows=0, shards=(), attachments=sides))
        return similarity_section(RunFolder(uri=str(tmp_path), recipe=SimpleNamespace()))

    return call


def of(section, kind):
    return [block for block in section.blocks if isinstance(block, kind)]


def test_every_pair_is_shown_by_pictures_or_by_words(section):
    near, leaked = of(section(), Pairs)
    assert [head for head, _, _ in near.items] == [
        "a and old of the existing pool: 0.875",
        "b and a: 0.875, another category",
    ]
    ((head, ours, theirs),) = leaked.items
    assert head == "a and benchmark bench: image 0.9999, text 1.0000"
    assert (ours.image, theirs.image) == (A.images[0].bytes, BENCH.images[0].bytes)
    assert (ours.caption, theirs.caption) == ("red?", "red one?")
    words = [row for table in of(section(), Table) if table.headers[1] == "Sample" for row in table.rows]
    assert [row[:2] for row in words] == [("a", "Who?"), ("b", "Who is it?"), ("b", "Who is it?")]
    assert "of the existing pool" in words[0][2]
    assert words[1][2] == words[2][2] == "Who?"


def test_the_words_name_pool_sets_and_counts(section):
    text = " ".join(block.text for block in of(section(), Text))
    for part in (
        "1,234 rows of s3://bucket/old/embedding",
        "seeded samples",
        "heldout (40 rows), bench (5 rows): 1 training rows dropped",
        "image 0.9995, text 0.99",
        "all answers and further turns are equal",
        "3 near-duplicates removed, 1 of them exact",
        "1 inside a source, 2 across",
    ):
        assert part in text
    rows = {row for table in of(section(), Table) for row in table.rows}
    assert {("a", "bench", "1"), ("b", "a", "2"), ("b", "b", "1")} <= rows
    assert b"Similarity gate" in render_page(Page(title="t", subtitle="", sections=(section(),)))


def test_a_run_without_findings_says_so(section):
    none = {"rule": "none", "count": 0, "sets": {}, "by_source": {}, "examples": [], "turns": "any"}
    copies = {**REPORT["near_duplicates"], "count": 0, "exact": 0, "pairs": [], "examples": []}
    found = section({**REPORT, "sources": [], "pool": None, "contamination": none, "near_duplicates": copies})
    assert "decontamination is off" in " ".join(block.text for block in of(found, Text))
    assert not of(found, Pairs)
    assert len(of(found, Table)) == 1
