"""Question and annotation files: joins, captions, options, hostile rows, splits."""

import json

import pytest
from raw_files import CARD, png, reasons, rows, run_source, samples, texts

from data.errors import AerieError
from data.registry.adapters import vqa_json
from data.registry.cards import SourceCard
from data.registry.phrasings import CAPTION
from data.registry.raw.joins import Joined
from data.registry.raw.problems import BadRowError

V2 = {"file": "q.json", "annotations": "a.json", "images": "pics", "image_pattern": "COCO_{image_id:06}.png"}


def card(folder, *parts, split_key="image_id", **options):
    options = {"parts": list(parts), **options}
    changes = {"adapter": "vqa_json", "uri": f"file://{folder}", "options": options, "split_key": split_key}
    return SourceCard(**{**CARD, **changes})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pics").mkdir()
    for number in range(4):
        (tmp_path / "pics" / f"COCO_{number:06}.png").write_bytes(png(number))
    return tmp_path


def write(folder, name, **document):
    (folder / name).write_text(json.dumps({"info": {"version": "2", "questions": []}, **document}))


def question(number, image=0, **more):
    return {"question_id": number, "image_id": image, "question": f"q{number}?", **more}


def test_questions_meet_their_answers_whatever_the_order(folder):
    write(folder, "q.json", questions=[question(n, n % 4) for n in range(8)])
    answers = [{"question_id": n, "multiple_choice_answer": f"a{n}", "answers": [{"answer": "x"}]} for n in range(8)]
    write(folder, "a.json", annotations=answers[::-1])
    found = samples(card(folder, V2))
    assert texts(found) == [[f"<image>\nq{n}?", f"a{n}"] for n in range(8)]
    assert [sample.images[0].bytes for sample in found] == [png(n % 4) for n in range(8)]
    assert found[0].meta == {"key": "q.json:0", "task": "open", "tasks": ["open"]}


def test_the_commonest_answer_options_and_plain_arrays(folder):
    given = [{"answer": text} for text in ("no", "yes", "yes", "maybe")]
    (folder / "rows.json").write_text(json.dumps([{**question(1), "answers": given}, {**question(2), "answers": []}]))
    part = {"file": "rows.json", "rows": None, "images": "pics", "image_pattern": "COCO_00000{image_id}.png"}
    assert texts(samples(card(folder, part))) == [["<image>\nq1?", "yes"]]
    assert reasons(card(folder, part)) == [("rows.json:2", "empty_answer")]
    write(folder, "data.json", data=[{**question(1), "image": None, "options": ["cat", "dog"], "answer": 1}])
    part = {"file": "data.json", "rows": "data"}
    assert texts(samples(card(folder, part, choices="options"))) == [["q1?\nA. cat\nB. dog", "B"]]


def test_without_parts_every_file_is_one(folder):
    write(folder, "one.json", questions=[question(1, answer="a")])
    write(folder, "two.json", questions=[question(1, answer="b")])
    assert texts(samples(card(folder))) == [["q1?", "a"], ["q1?", "b"]]


def test_coco_captions_joined_by_image(folder):
    images = [{"id": 7, "file_name": "COCO_000001.png"}, {"id": 8, "file_name": "../../x.png"}]
    captions = [{"id": 1, "image_id": 7, "caption": "A cat. "}, {"id": 2, "image_id": 7, "caption": "Still a cat."}]
    captions += [{"id": 3, "image_id": 9, "caption": "x"}, {"id": 4, "image_id": 8, "caption": "x"}]
    write(folder, "c.json", images=images, annotations=captions)
    part = {"file": "c.json", "rows": "annotations", "image_names": "c.json", "images": "pics"}
    found = samples(card(folder, part))
    assert [text[1] for text in texts(found)] == ["A cat.", "Still a cat."]
    assert {text[0].removeprefix("<image>\n") for text in texts(found)} <= set(CAPTION)
    assert reasons(card(folder, part)) == [("c.json:3", "missing_image_name"), ("c.json:4", "unsafe_path")]


def test_hostile_rows_in_either_file(folder):
    texts_of = [json.dumps(question(n)) for n in range(5)]
    texts_of += [
        '{"question_id": 5, "question": NaN}',
        "[]",
        json.dumps(question(0)),
        json.dumps(question(8, image=99)),
    ]
    texts_of += ['{"question_id": 9, "image_id": {"x": 1}, "question": "q"}', "{", '"']
    (folder / "q.json").write_text('{"questions": [' + ", ".join(texts_of) + "]}")
    entries = [{"question_id": n, "answer": "a"} for n in (0, 1, 1, 8, 9)] + [{"answer": "lost"}]
    entries += [{"question_id": 2, "answer": " "}, {"question_id": 3, "answer": {}}]
    write(folder, "a.json", annotations=entries)
    assert reasons(card(folder, V2)) == [
        ("a.json:6", "invalid_row"),
        ("q.json:2", "duplicate_id"),
        ("q.json:3", "empty_answer"),
        ("q.json:4", "invalid_row"),
        ("q.json:5", "missing_answer"),
        ("q.json:6", "invalid_json"),
        ("q.json:7", "invalid_json"),
        ("q.json:8", "duplicate_id"),
        ("q.json:9", "missing_file"),
        ("q.json:10", "invalid_row"),
        ("q.json:11", "invalid_json"),
    ]
    assert len(samples(card(folder, V2))) == 1


def test_splits_by_part_and_by_image_and_caps(folder):
    write(folder, "q.json", questions=[question(n, n % 4, answer="a") for n in range(40)])
    write(folder, "val.json", questions=[question(n, 0, answer="b") for n in range(3)])
    train = {"file": "q.json", "images": "pics", "image_pattern": "COCO_00000{image_id}.png"}
    held = {**train, "file": "val.json", "split": "heldout"}
    found = rows(card(folder, train, held, heldout_one_in=2))
    sides = {}
    for row in found[:40]:
        sides.setdefault(row.sample.images[0].bytes, set()).add(row.split)
    assert all(len(side) == 1 for side in sides.values())
    assert [row.split for row in found[40:]] == ["heldout"] * 3
    few = {sample.sample_id for sample in samples(card(folder, train, held), train=5, heldout=1)}
    assert len(few) == 6
    write(folder, "q.json", questions=[question(n, n % 4, answer="a") for n in reversed(range(40))])
    assert {sample.sample_id for sample in samples(card(folder, train, held), train=5, heldout=1)} == few


def test_the_ledger_closes_and_errors_name_the_file(folder):
    write(folder, "q.json", questions=[question(n, n) for n in range(6)])
    write(folder, "a.json", annotations=[{"question_id": n, "answer": "a"} for n in range(5)])
    found, _, quarantine, count = run_source(folder, card(folder, V2))
    assert (len(found), count.dropped) == (4, {"missing_answer": 1, "missing_file": 1})
    assert len(quarantine) == 2
    first = vqa_json.identity(card(folder, V2))
    write(folder, "a.json", annotations=[])
    assert vqa_json.identity(card(folder, V2)) != first
    with pytest.raises(AerieError, match=r"file 'gone.json': No such file"):
        samples(card(folder, {"file": "gone.json"}))
    with pytest.raises(AerieError, match=r"parts.0.fil: .*unknown key"):
        samples(card(folder, {"fil": "x"}))


def test_a_join_keeps_its_values_on_disk():
    joined = Joined("answer", ((str(n), {"a": n}) for n in [*range(1000), 5]))
    assert joined.value("999") == {"a": 999}
    for key, reason in (("5", "duplicate_id"), ("x", "missing_answer")):
        with pytest.raises(BadRowError) as caught:
            joined.value(key)
        assert caught.value.reason == reason
