"""Folders of pictures: every kind of caption file, labels, hostile names, splits."""

import json
import os

import pytest
from raw_files import CARD, png, reasons, rows, run_source, samples

from data.errors import AerieError
from data.registry.adapters import image_folder
from data.registry.cards import SourceCard
from data.registry.phrasings import CAPTION, LABEL
from data.registry.rows import Accepted


def card(folder, **options):
    uri = f"file://{folder}/pics"
    return SourceCard(**{**CARD, "adapter": "image_folder", "uri": uri, "options": options, "split_key": "file"})


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("a.png", "b.JPG", "test/c d.png")):
        path = tmp_path / "pics" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    return tmp_path


def captions(found):
    return {sample.meta["key"]: sample.conversations[1].content for sample in found}


ROWS = [{"file_name": "a.png", "caption": "One, two"}, {"image": "./b.JPG", "text": "Zwei ü"}]
ROWS += [{"file": "test/c d.png", "caption": 'Three "3"\nlines'}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("captions.csv", 'file_name,caption\na.png,"One, two"\n./b.JPG,Zwei ü\ntest/c d.png,"Three ""3""\nlines"\n'),
        ("captions.json", json.dumps(ROWS)),
        ("captions.jsonl", "\n".join(map(json.dumps, ROWS))),
        ("metadata.jsonl", "\ufeff" + "\r\n".join(map(json.dumps, ROWS))),
    ],
)
def test_caption_files(folder, name, content):
    (folder / "pics" / name).write_text(content, encoding="utf-8", newline="")
    found = samples(card(folder))
    assert captions(found) == {"a.png": "One, two", "b.JPG": "Zwei ü", "test/c d.png": 'Three "3"\nlines'}
    assert all(sample.conversations[0].content.removeprefix("<image>\n") in CAPTION for sample in found)
    assert found[1].images[0].bytes == png(1)
    assert reasons(card(folder)) == []


def test_lines_several_captions_and_text_beside_the_picture(folder):
    (folder / "pics" / "captions.txt").write_text("a.png#0\tfirst\r\na.png#1\tsecond\nno tab\n\n")
    (folder / "pics" / "b.txt").write_text("beside\n")
    found = samples(card(folder))
    assert sorted(sample.conversations[1].content for sample in found) == ["beside", "first", "second"]
    assert reasons(card(folder)) == [
        ("captions.txt:3", "invalid_row"),
        ("captions.txt:4", "invalid_row"),
        ("test/c d.png", "missing_caption"),
    ]


def test_labels_by_folder(folder):
    found = samples(card(folder, label_folders=True))
    assert captions(found) == {"test/c d.png": "test"}
    assert found[0].conversations[0].content.removeprefix("<image>\n") in LABEL
    assert reasons(card(folder, label_folders=True)) == [("a.png", "missing_caption"), ("b.JPG", "missing_caption")]
    asked = samples(card(folder, label_folders=True, kind="bird"))[0].conversations[0].content
    assert "bird" in asked


def test_hostile_names_links_and_texts(folder):
    pics = folder / "pics"
    (folder / "secret.png").write_bytes(png(9))
    (pics / "link.png").symlink_to(folder / "secret.png")
    (pics / "link.txt").write_text("x")
    os.mkfifo(pics / "pipe.png")
    (pics / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (pics / "bad.txt").write_text("x")
    (pics / "utf.png").write_bytes(png(1))
    (pics / "utf.txt").write_bytes(b"\xff")
    with open(os.fsencode(pics) + b"/\xff.png", "wb") as stream:
        stream.write(png(1))
    (pics / "captions.csv").write_bytes(
        b"file,caption\n../secret.png,x\n/etc/passwd,x\na.png,\xff\nb.JPG,a\0b\nlink.png,x\ngone.png,x\n,x\nb.JPG,ok\n"
    )
    assert reasons(card(folder)) == [
        ("captions.csv:2", "unsafe_path"),
        ("captions.csv:3", "unsafe_path"),
        ("captions.csv:4", "invalid_utf8"),
        ("captions.csv:5", "nul_in_text"),
        ("captions.csv:6", "unsafe_path"),
        ("captions.csv:7", "missing_file"),
        ("captions.csv:8", "unsafe_path"),
        ("a.png", "missing_caption"),
        ("bad.png", "corrupt_image"),
        ("test/c d.png", "missing_caption"),
        ("utf.png", "invalid_utf8"),
        ("\\udcff.png", "invalid_unicode"),
    ]
    assert captions(samples(card(folder))) == {"b.JPG": "ok"}
    (pics / "captions.csv").write_bytes(b"")
    assert reasons(card(folder))[0] == ("captions.csv", "invalid_table")


def test_splits_caps_identity_and_the_ledger(folder):
    for number in range(30):
        (folder / "pics" / f"{number}.png").write_bytes(png(number))
        (folder / "pics" / f"{number}.txt").write_text(f"caption {number}")
    (folder / "pics" / "test" / "c d.txt").write_text("c")
    found = rows(card(folder, heldout_files="test/*", heldout_one_in=3))
    accepted = [row for row in found if isinstance(row, Accepted)]
    assert [row.split for row in accepted if "test/" in row.sample.meta["key"]] == ["heldout"]
    few = samples(card(folder), train=4)
    many = samples(card(folder), train=12)
    assert {sample.sample_id for sample in few} <= {sample.sample_id for sample in many}
    first = image_folder.identity(card(folder))
    (folder / "pics" / "7.txt").write_text("another")
    assert image_folder.identity(card(folder)) != first
    found, heldout, quarantine, _ = run_source(folder, card(folder, heldout_one_in=3))
    assert len(found) + len(heldout) + len(quarantine) == 33
    assert {row["reason"] for row in quarantine} == {"missing_caption"}
    with pytest.raises(AerieError, match="can't be read"):
        samples(card(folder / "pics"))
