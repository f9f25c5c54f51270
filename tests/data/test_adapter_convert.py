"""Converted rows as samples: what is drawn, what is rejected, and the ledger."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_files import CARD, png, reasons, run_source, samples, texts

from data.curation.answer_families import family_of
from data.errors import AerieError
from data.expectations.checks import structure_problem
from data.registry.adapters import convert
from data.registry.cards import SourceCard
from data.registry.phrasings import READ


def card(folder, **options):
    uri = f"file://{folder}/rows.jsonl"
    return SourceCard(
        **{**CARD, "adapter": "convert", "uri": uri, "options": options, "category": "grounding_counting"}
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.png").write_bytes(png(1, size=(200, 100)))
    return tmp_path


def write(folder, *entries):
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, entries)))


BOXES = {"image": "a.png", "boxes": [{"label": "cat", "box": [20, 10, 100, 50]}]}
TABLE = {"columns": ["City", "Area"], "rows": [["Ulm", 118.68], ["Bonn", 141]]}


def test_one_row_is_one_conversation_of_sound_structure(folder):
    write(folder, {"id": "x", **BOXES, "label": "animals", "caption": "A cat.", "table": TABLE})
    (sample,) = samples(card(folder, questions=50))
    assert structure_problem(sample) is None
    assert sample.meta["converted"] == {"rules": 1}
    tasks = sample.meta["tasks"]
    assert {"label", "caption", "grounding", "counting", "region", "max", "min", "total", "value_at"} <= set(tasks)
    turns = sample.conversations
    families = {
        task: family_of(task, question.content, answer.content)
        for task, question, answer in zip(tasks, turns[::2], turns[1::2], strict=True)
    }
    assert (families["counting"], families["max"], families["difference"]) == ("number", "phrase", "number")


def test_the_number_of_questions_and_the_rules_are_the_cards_choice(folder):
    write(folder, *({"id": n, **BOXES, "label": "animals"} for n in range(30)))
    found = samples(card(folder, questions=2))
    assert {len(sample.conversations) for sample in found} == {4}
    assert len({tuple(sample.meta["tasks"]) for sample in found}) > 3  # not always the same two
    assert len({text for sample in found for text in texts([sample])[0][::2]}) > 8  # nor the same words
    only = samples(card(folder, rules=["labels"]))
    assert {tuple(sample.meta["tasks"]) for sample in only} == {("label",)}


def test_another_seed_asks_in_other_words_and_order_does_not_matter(folder):
    entries = [{"id": n, **BOXES} for n in range(10)]
    write(folder, *entries)
    one, other = samples(card(folder), seed=1), samples(card(folder), seed=2)
    assert texts(one) != texts(other)
    write(folder, *reversed(entries))
    assert sorted(samples(card(folder), seed=1), key=lambda s: int(s.meta["key"])) == one


def test_a_table_without_an_image_stands_in_the_question(folder):
    write(folder, {"table": TABLE})
    (sample,) = samples(card(folder))
    assert sample.images == ()
    assert sample.conversations[0].content.startswith("| City | Area |\n| --- | --- |\n| Ulm | 118.68 |")


def test_rows_that_give_nothing_are_told(folder):
    bad = [
        {"image": "a.png"},
        {"label": "x"},
        {"image": ["a.png", "a.png"], "label": "x"},
        {"image": "../a.png", "label": "x"},
    ]
    bad += [{"image": "a.png", "boxes": [{"label": "c", "box": [0, 0, 999, 1]}]}, {"image": "a.png", "label": 7}]
    bad += [{"image": "a.png", "table": {"columns": ["x"]}}, {"image": "a.png", "label": "a\0b"}, BOXES, BOXES]
    write(folder, *bad)
    assert [reason for _, reason in reasons(card(folder))] == [
        "nothing_to_ask",
        "missing_file",
        "invalid_row",
        "unsafe_path",
        "invalid_box",
        "invalid_row",
        "invalid_table",
        "nul_in_text",
        "duplicate_row",
    ]


def test_the_ledger_closes(folder):
    write(folder, *({"id": n, **BOXES} for n in range(12)), {"id": 99, "image": "a.png"})
    found, heldout, quarantine, _ = run_source(folder, card(folder, heldout_one_in=3))
    assert len(found) + len(heldout) + len(quarantine) == 13
    assert heldout
    first = convert.identity(card(folder))
    (folder / "a.png").write_bytes(png(2, size=(200, 100)))
    assert convert.identity(card(folder)) != first


def parquet(folder, table, **metadata):
    if metadata:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    pq.write_table(table, folder / "rows.parquet", row_group_size=2)


def parquet_card(folder, **options):
    return card(folder, **options).model_copy(update={"uri": f"file://{folder}/rows.parquet"})


def test_parquet_rows_by_the_names_of_their_columns(folder):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array([{"bytes": png(n), "path": None} for n in range(3)], kind)
    parquet(folder, pa.table({"image": images, "solution": ["x1", "y2", " "], "width": [1, 2, 3]}))
    found = samples(parquet_card(folder, fields={"text": "solution"}))
    assert [sample.conversations[1].content for sample in found] == ["x1", "y2"]
    assert found[0].conversations[0].content.removeprefix("<image>\n") in READ
    assert found[0].meta["tasks"] == ["transcription"]
    assert reasons(parquet_card(folder, fields={"text": "solution"})) == [("rows.parquet:2", "invalid_row")]
    with pytest.raises(AerieError, match=r"no column \['solutions'\] among \['image', 'solution', 'width'\]"):
        samples(parquet_card(folder, fields={"text": "solutions"}))
    with pytest.raises(AerieError, match="name them in the card's `fields`"):
        samples(parquet_card(folder))


def test_numbered_classes_get_the_names_that_the_file_tells(folder):
    table = pa.table({"image": [png(n) for n in range(4)], "style": [1, 0, 7, None]})
    parquet(folder, table, info={"features": {"style": {"names": ["Baroque", "Cubism"]}, "image": {}, "x": 3}})
    styles = parquet_card(folder, fields={"label": "style"}, kind="style")
    assert [sample.conversations[1].content for sample in samples(styles)] == ["Cubism", "Baroque"]
    assert [reason for _, reason in reasons(styles)] == ["invalid_row", "nothing_to_ask"]
    parquet(folder, table)  # without names a number is no label
    assert {reason for _, reason in reasons(styles)} == {"invalid_row", "nothing_to_ask"}


def test_boxes_in_parquet_and_the_ledger(folder):
    rows = [{"image": png(n, size=(200, 100)), "boxes": BOXES["boxes"], "n": n} for n in range(9)]
    parquet(folder, pa.Table.from_pylist([*rows, {"image": b"x", "boxes": BOXES["boxes"], "n": 3}]))
    found, _, quarantine, count = run_source(folder, parquet_card(folder, id="n"))
    assert (len(found), count.dropped) == (9, {"duplicate_id": 1})
    assert any("<box>[[100, 100, 500, 500]]</box>" in text for sample in found for text in texts([sample])[0])
    first = convert.identity(parquet_card(folder))
    parquet(folder, pa.Table.from_pylist(rows))
    assert convert.identity(parquet_card(folder)) != first
    assert quarantine[0]["key"] == "rows.parquet:9"
