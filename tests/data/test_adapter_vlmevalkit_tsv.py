"""VLMEvalKit TSV: images in cells, shared images, options, hostile records."""

import base64
import csv

import pytest
from raw_files import CARD, png, reasons, rows, run_source, samples, texts

from data.errors import AerieError
from data.registry.adapters import vlmevalkit_tsv
from data.registry.cards import SourceCard

COLUMNS = ["index", "image", "question", "A", "B", "C", "answer", "hint", "category", "split"]


def card(folder, name="bench.tsv", split_key="index", **options):
    uri = f"file://{folder}/{name}"
    return SourceCard(**{**CARD, "adapter": "vlmevalkit_tsv", "uri": uri, "options": options, "split_key": split_key})


def write(folder, *records, name="bench.tsv", columns=COLUMNS):
    with (folder / name).open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.DictWriter(stream, columns, delimiter="\t", restval="")
        writer.writeheader()
        writer.writerows(records)


def coded(shade=0, **options):
    return base64.b64encode(png(shade, **options)).decode()


def choice(index, image, **more):
    return {"index": index, "image": image, "question": f"q{index}", "A": "cat", "B": "dog", "answer": "B", **more}


def test_options_hints_shared_images_and_open_questions(tmp_path):
    write(
        tmp_path,
        choice(0, coded(1), hint="Look\nclosely.", category="animals"),
        choice(1, "0", hint="nan", C="cow"),
        {"index": 2, "image": coded(3), "question": "How many?", "answer": "3"},
        {"index": 3, "image": f"['{coded(4)}', '{coded(5)}']", "question": "Same?", "answer": "no"},
        {"index": 4, "image": "data:image/png;base64," + coded(6), "question": "q", "answer": "a"},
        {"index": 5, "question": "no image", "answer": "a"},
    )
    found = samples(card(tmp_path))
    assert texts(found)[:4] == [
        ["<image>\nLook\nclosely.\nq0\nA. cat\nB. dog", "B"],
        ["<image>\nq1\nA. cat\nB. dog\nC. cow", "B"],
        ["<image>\nHow many?", "3"],
        ["<image>\n<image>\nSame?", "no"],
    ]
    assert [len(sample.images) for sample in found] == [1, 1, 1, 2, 1, 0]
    assert found[1].images[0].bytes == found[0].images[0].bytes == png(1)
    assert found[0].meta == {
        "key": "bench.tsv:0",
        "task": "multiple_choice",
        "tasks": ["multiple_choice"],
        "columns": {"category": "animals"},
    }


def test_a_reference_may_point_forward_and_files_may_be_named(tmp_path):
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a.png").write_bytes(png(7))
    write(tmp_path, choice(0, "9"), choice(9, coded(2)))
    assert [sample.images[0].bytes for sample in samples(card(tmp_path))] == [png(2), png(2)]
    named = ["a.png", "['a.png', 'a.png']", "../a.png", "gone.png"]
    columns = ["index", "image_path", "question", "answer"]
    entries = [{"index": n, "image_path": path, "question": "q", "answer": "a"} for n, path in enumerate(named)]
    write(tmp_path, *entries, columns=columns)
    assert [len(sample.images) for sample in samples(card(tmp_path, images="pics"))] == [1, 2]
    assert [reason for _, reason in reasons(card(tmp_path, images="pics"))] == ["unsafe_path", "missing_file"]


def test_hostile_records_are_told_by_their_line(tmp_path):
    write(
        tmp_path,
        choice(0, "7"),
        choice(1, "not base64!"),
        choice(2, base64.b64encode(b"no picture").decode()),
        choice(3, coded(1)[:-40]),
        choice(4, coded(), answer="E"),
        choice(5, coded(), answer=""),
        choice(6, coded(), A=""),
        choice(7, "0"),
        choice(8, coded(), question="nul \0"),
        choice(9, coded(), question="\udcff"),
        choice(10, coded(), B="", answer="A"),
        choice(11, coded()),
        choice(11, coded(9)),
        choice(12, coded(kind="GIF", save_all=True, append_images=[])),
    )
    assert reasons(card(tmp_path)) == [
        ("bench.tsv:2", "missing_file"),
        ("bench.tsv:3", "corrupt_image"),
        ("bench.tsv:4", "corrupt_image"),
        ("bench.tsv:6", "answer_not_an_option"),
        ("bench.tsv:7", "empty_answer"),
        ("bench.tsv:8", "invalid_row"),
        ("bench.tsv:9", "missing_file"),
        ("bench.tsv:10", "nul_in_text"),
        ("bench.tsv:11", "invalid_utf8"),
        ("bench.tsv:12", "invalid_row"),
        ("bench.tsv:14", "duplicate_id"),
    ]


def test_splits_keep_a_shared_image_on_one_side(tmp_path):
    entries = [choice(n, coded(n) if n % 5 == 0 else str(n - n % 5)) for n in range(60)]
    write(tmp_path, *entries, choice(100, coded(99), split="test"))
    sides = {}
    for row in rows(card(tmp_path, split_key="image", heldout_one_in=3)):
        sides.setdefault(row.sample.images[0].bytes, set()).add(row.split)
    assert all(len(side) == 1 for side in sides.values())
    assert set.union(*sides.values()) == {"train", "heldout"}
    write(tmp_path, *entries)
    few = {sample.sample_id for sample in samples(card(tmp_path), train=6)}
    write(tmp_path, *reversed(entries))
    assert len(few) == 6
    assert {sample.sample_id for sample in samples(card(tmp_path), train=6)} == few


def test_the_ledger_closes_and_errors_name_the_file(tmp_path):
    write(tmp_path, *(choice(n, coded(n)) for n in range(5)), choice(5, "zz zz"))
    first = vlmevalkit_tsv.identity(card(tmp_path))
    found, _, quarantine, count = run_source(tmp_path, card(tmp_path))
    assert (len(found), count.dropped, quarantine[0]["key"]) == (5, {"corrupt_image": 1}, "bench.tsv:7")
    write(tmp_path, {"prompt": "x"}, columns=["prompt"])
    assert vlmevalkit_tsv.identity(card(tmp_path)) != first
    with pytest.raises(AerieError, match=r"bench.tsv has no columns `index` and `question`"):
        samples(card(tmp_path))
    (tmp_path / "bench.tsv").write_bytes(b"")
    assert reasons(card(tmp_path)) == [("bench.tsv", "invalid_table")]
