"""The columnar measures are the exact ones, whatever the rows say."""

import io
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.curation.measures import MEASURES, measure
from data.curation.measuring import measured
from data.curation.turns import COLUMNS
from data.schema import ImageRef, Turn, make_sample, samples_to_table
from data.shardwise import shard_bytes, shard_table

LABELLED = Path(__file__).parent / "labelled"
IMAGE = ImageRef(bytes=b"png", path="a.png", width=8, height=8)
QUESTIONS = [
    "is there a red circle in the image?", "<image>\nWhat color is it?", "How many dogs are there?", "Read the text.",
    "Which?\nA. red\nB. blue\nC. green", "(A) one (B) two Which one?", "What is the average price?", "", " \n",
    "What is in the second picture?", "WHAT COLOR  is it?", "Wie heißt das?", "Look. Isn't it a cat? Answer briefly.",
    "How many? A. 2 B. 3", "这是什么？", "Describe the picture.", "somehow many people", "What is É?", "what is é?",
]  # fmt: skip
ANSWERS = [
    "yes", "No.", "**no**", "red", "B", "(D).", "The answer is C", "answer E", "3", "two of them", "12.5", "13.24178",
    "<image> a dog", "a<|im_end|>", "I'm sorry, but I can't see it.", "As an AI model I do not know and cannot.", "",
    "{answer}", r"\begin{align*} x", r"\boxed{}", "the cat sat on the mat " * 9, "ha " * 30, "哈" * 60, "0." + "3" * 60,
    "one two three four five six seven.\nsame line here\n" * 6, "abcabcabc" * 12, "a b c d e f g h " * 2, "no-one", "d",
    "A long answer with many words that says something about the picture and nothing else at all.", "maybe so",
    "[your x]", "`$x` and $y", "| a | b |\n|---|---|\n| 1 |", r"\\left( x \\rightarrow y", "<b>x</i>", "costs $5",
    "La femme attend le train avec une valise dans la main et elle est dans la gare.", "A. blue", "</s>", "...",
    "B. blue",
    "是的，图中有一只猫。", "none", "x" * 150,
]  # fmt: skip


def conversation(rng: random.Random):
    turns = []
    for _ in range(rng.randint(0, 5)):
        turns += [Turn(role="user", content=rng.choice(QUESTIONS)), Turn(role="assistant", content=rng.choice(ANSWERS))]
    if rng.random() < 0.2:
        turns.insert(0, Turn(role="system", content="Be brief."))
    if rng.random() < 0.2:
        turns.insert(
            rng.randint(0, len(turns)), Turn(role=rng.choice(["user", "assistant", "system", "tool"]), content="x")
        )
    meta = rng.choice([{}, {"task": "dialogue"}, {"precision": 1}, {"values": ["12.5"]}, {"tasks": ["dialogue", "x"]}])
    images = (IMAGE,) * rng.randint(0, 2)
    return make_sample(source="s", category="science", images=images, conversations=tuple(turns), meta=meta)


def compare(samples):
    table = shard_table(shard_bytes(samples_to_table(samples)), COLUMNS)
    found = measured(table).to_pylist()
    for sample, row in zip(samples, found, strict=True):
        assert (row["sample_id"], row["source"]) == (sample.sample_id, sample.source)
        exact = measure(sample)
        assert {name: pytest.approx(value, abs=1e-6) for name, value in exact.items()} == {
            name: row[name] for name in MEASURES
        }, sample.conversations


def test_columns_and_rows_agree_on_odd_conversations():
    rng = random.Random(5)
    compare([conversation(rng) for _ in range(1500)])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.text(alphabet=st.sampled_from("ab .\n?<>{}|你É1"), max_size=60), max_size=6), max_size=8))
def test_columns_and_rows_agree_on_any_text(rows):
    compare(
        [
            make_sample(
                source="s",
                category="science",
                images=(IMAGE,),
                conversations=tuple(Turn(role=("user", "assistant")[i % 2], content=t) for i, t in enumerate(texts)),
                meta={},
            )
            for texts in rows
        ]
    )


@pytest.mark.parametrize("path", sorted(LABELLED.rglob("*.jsonl")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_columns_and_rows_agree_on_the_labelled_sets(path):
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    compare(
        [
            make_sample(
                source="s",
                category="science",
                images=(IMAGE,) * line.get("images", 1),
                conversations=tuple(Turn(role=role, content=content) for role, content in line["turns"]),
                meta=line.get("meta", {}),
            )
            for line in lines
        ]
    )


def test_no_rows_and_no_turns():
    assert measured(shard_table(shard_bytes(samples_to_table([])), COLUMNS)).num_rows == 0
    compare([make_sample(source="s", category="science", images=(), conversations=(), meta={})])


def test_a_long_text_is_measured_in_blocks(monkeypatch):
    monkeypatch.setattr("data.curation.repetition.BLOCK_BYTES", 64)
    rng = random.Random(6)
    compare([conversation(rng) for _ in range(100)])


def test_the_pictures_are_not_read():
    table = samples_to_table([conversation(random.Random(1))] * 3)
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=2)
    got = shard_table(sink.getvalue(), COLUMNS)
    assert got.schema.field("images").type.value_type.names == ["width"]
    assert np.array_equal(got["sample_id"].to_numpy(), table["sample_id"].to_numpy())
    assert isinstance(got, pa.Table)
