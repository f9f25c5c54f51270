"""LLaVA JSON and JSONL: every shape of row, hostile rows, caps, splits, and the ledger through the sourcing step."""

import json
import os

import pytest
from raw_files import CARD, ask, png, reasons, samples, source, texts

from data.errors import AerieError
from data.registry.adapters import jsonl, llava_json
from data.registry.cards import SourceCard

TURNS = ask("<image>\nWhat?", "That.")


def card(folder, name="data.json", **options):
    return SourceCard(**{**CARD, "adapter": "llava_json", "uri": f"file://{folder}/{name}", "options": options})


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("a.png", "b.png", "sub/c.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(number))
    return tmp_path


def write(folder, *rows, name="data.json"):
    (folder / name).write_text(json.dumps(rows))


def test_jsonl_is_another_name_for_it():
    assert (jsonl.read, jsonl.identity) == (llava_json.read, llava_json.identity)


def test_single_several_interleaved_and_text_only_rows(folder):
    parts = [{"type": "text", "text": "Is "}, {"type": "image"}, {"type": "text", "text": "like "}, {"type": "image"}]
    write(
        folder,
        {"id": 1, "image": "a.png", "conversations": TURNS, "task": "yes_no"},
        {"id": "two", "images": ["a.png", "sub/c.png"], "conversations": ask("<image>x<image>", "y")},
        {"image": ["b.png", "a.png"], "messages": [{"role": "user", "content": parts}, *ask("", "no", role=True)[1:]]},
        {"conversations": [{"from": "system", "value": "s"}, *ask("q", "a")]},
    )
    found = samples(card(folder))
    assert [len(sample.images) for sample in found] == [1, 2, 2, 0]
    assert found[0].meta == {"key": "1", "task": "yes_no", "tasks": ["yes_no"]}
    assert found[2].conversations[0].content == "Is <image>\nlike <image>\n"
    assert found[2].meta["key"] == "3"
    assert [turn.role for turn in found[3].conversations] == ["system", "user", "assistant"]


def test_marks_of_others_are_put_into_order_and_missing_ones_are_placed(folder):
    rows = [
        {"image": ["a.png", "b.png"], "conversations": ask("<image-2> before <image-1>?", "no")},
        {"image": ["a.png"], "conversations": ask("<image-2>", "no")},
        {"image": ["a.png", "b.png"], "conversations": ask("no mark", "yes")},
    ]
    write(folder, *rows)
    numbered = card(folder, image_mark="<image-{n}>", place_images=True)
    found = samples(numbered)
    assert texts(found) == [["<image> before <image>?", "no"], ["<image>\n<image>\nno mark", "yes"]]
    assert [[image.path for image in sample.images] for sample in found] == [["b.png", "a.png"], ["a.png", "b.png"]]
    assert reasons(numbered) == [("data.json:2", "placeholder_mismatch")]
    write(folder, {"image": ["a.png"], "conversations": ask("See <ImageHere>.", "ok")})
    assert texts(samples(card(folder, image_mark="<ImageHere>"))) == [["See <image>.", "ok"]]


def test_hostile_rows_are_quarantined_with_their_line_and_reason(folder):
    (folder / "out.png").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.png")
    (folder / "text.png").write_text("no image")
    (folder / "jpeg-in-fact.gif").write_bytes((folder / "a.png").read_bytes())
    outside = folder.parent / "outside.png"
    outside.write_bytes(png(9))
    names = ["../outside.png", str(outside), "C:\\x.png", "a\0.png", "x" * 5000, "out.png", "pipe.png", "", "text.png"]
    names += ["..\\outside.png", "http://host/a.png", "a.png/b.png", "sub", "n" * 300 + ".png"]
    rows = [json.dumps({"image": name, "conversations": TURNS}).encode() for name in names]
    rows += [
        b'{"image": "a.png", "image": "b.png", "conversations": []}',
        b'{"conversations": [{"from": "human", "value": "a\\u0000b"}]}',
        b'{"conversations": [{"from": "human", "value": "\\ud800"}]}',
        b'{"conversations": [{"from": "human", "value": "\xff"}]}',
        b'{"id": ' + b"9" * 10_000 + b"}",
        b"[" * 50_000,
        b'{"conversations": [{"from": "human"}]}',
        json.dumps({"image": "jpeg-in-fact.gif", "conversations": TURNS}).encode(),
    ]
    (folder / "data.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(rows))
    found = reasons(card(folder, "data.jsonl"))
    expected = ["unsafe_path"] * 3 + ["nul_in_text", "unsafe_path", "unsafe_path", "missing_file", "-", "corrupt_image"]
    expected += ["unsafe_path", "missing_file", "missing_file", "missing_file", "missing_file", "invalid_json"]
    expected += ["nul_in_text", "invalid_unicode", "invalid_utf8", "invalid_json", "invalid_json", "invalid_row"]
    wanted = [(f"data.jsonl:{line}", reason) for line, reason in enumerate(expected, 1) if reason != "-"]
    assert found == wanted
    assert len(samples(card(folder, "data.jsonl"))) == 2  # no image named: text only; and a PNG whatever its name


def test_repeats_are_refused_once_and_ids_may_repeat_unless_told(folder):
    one, other = ({"id": 7, "image": name, "conversations": TURNS} for name in ("a.png", "b.png"))
    write(folder, one, other, one)
    assert reasons(card(folder)) == [("data.json:3", "duplicate_row")]
    assert reasons(card(folder, unique_ids=True)) == [("data.json:2", "duplicate_id"), ("data.json:3", "duplicate_id")]


def test_caps_draw_the_same_rows_whatever_their_order_and_files(folder):
    rows = [{"id": number, "conversations": ask(f"q {number}", "a")} for number in range(60)]
    write(folder, *rows)
    drawn = {s.sample_id for s in samples(card(folder, heldout_one_in=4), train=10, heldout=5)}
    assert len(drawn) == 15
    write(folder, *reversed(rows))
    assert {s.sample_id for s in samples(card(folder, heldout_one_in=4), train=10, heldout=5)} == drawn
    (folder / "data.json").unlink()
    (folder / "many").mkdir()
    write(folder, *rows[:20], name="many/z.json")
    (folder / "many" / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows[20:]))
    for place in ("many", "many/*.json*"):
        assert {s.sample_id for s in samples(card(folder, place, heldout_one_in=4), train=10, heldout=5)} == drawn
    more = {s.sample_id for s in samples(card(folder, "many", heldout_one_in=4), train=20, heldout=5)}
    assert drawn < more  # a larger cap only adds


def test_the_split_goes_by_its_key_or_by_what_the_row_says(folder):
    rows = [
        {"id": n, "image": "a.png" if n % 2 else "b.png", "conversations": ask(f"{n}<image>", "a")} for n in range(40)
    ]
    write(folder, *rows, {"conversations": TURNS, "split": "test"}, {"conversations": TURNS, "split": "train", "id": 5})
    by_image = card(folder, heldout_one_in=2).model_copy(update={"split_key": "image"})
    sides = {}
    for row in llava_json.read(by_image, source(), 3):
        for image in row.sample.images:
            sides.setdefault(image.path, set()).add(row.split)
    assert all(len(side) == 1 for side in sides.values())
    assert [row.split for row in llava_json.read(by_image, source(), 3)][-2:] == ["heldout", "train"]


def test_pictures_out_of_a_zip_and_a_folder(folder):
    import zipfile

    with zipfile.ZipFile(folder / "pics.zip", "w") as archive:
        archive.writestr("x/a.png", png(1))
    write(folder, *({"image": name, "conversations": TURNS} for name in ("x/a.png", "x/gone.png", "../a.png")))
    assert len(samples(card(folder, images="pics.zip"))) == 1
    assert [reason for _, reason in reasons(card(folder, images="pics.zip"))] == ["missing_file", "unsafe_path"]
    write(folder, {"image": "c.png", "conversations": TURNS})
    assert samples(card(folder, images="sub"))[0].images[0].bytes == png(2)
    with pytest.raises(AerieError, match=r"option `images`: file 'no.zip'"):
        samples(card(folder, images="no.zip"))


def test_identity_notices_pictures_files_and_nothing_else(folder):
    write(folder, {"image": "a.png", "conversations": TURNS}, {"image": "gone.png", "conversations": TURNS})
    first = llava_json.identity(card(folder))
    os.utime(folder / "data.json", (1, 1))
    assert llava_json.identity(card(folder)) == first
    (folder / "a.png").write_bytes(png(77))
    second = llava_json.identity(card(folder))
    write(folder, {"image": "a.png", "conversations": TURNS})
    assert len({first, second, llava_json.identity(card(folder))}) == 3


def test_user_errors_name_the_place(folder):
    for name, message in (("no.json", "can't be read"), ("sub", r"no file \*\{.json"), ("*.csv", r"no file \*.csv")):
        with pytest.raises(AerieError, match=message):
            samples(card(folder, name))
    with pytest.raises(AerieError, match=r"image_marks: .*unknown key"):
        samples(card(folder, image_marks="x"))
