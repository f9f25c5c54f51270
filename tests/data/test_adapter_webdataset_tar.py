"""WebDataset shards: grouping, texts, caps, and archives that were made to hurt."""

import gzip
import io
import json
import tarfile

import pytest
from raw_files import CARD, ask, png, reasons, rows, run_source, samples, texts

from data.registry.adapters import webdataset_tar
from data.registry.cards import SourceCard
from data.registry.phrasings import CAPTION
from data.registry.raw import limits, lines, tars


def card(folder, name="shards", split_key="__key__", **options):
    uri = f"file://{folder}/{name}"
    return SourceCard(**{**CARD, "adapter": "webdataset_tar", "uri": uri, "options": options, "split_key": split_key})


def write(folder, entries, name="0.tar", mode="w", **options):
    """A shard out of (name, bytes) pairs or ready TarInfos."""
    path = folder / "shards" / name
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, mode, **options) as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
                continue
            info = tarfile.TarInfo(entry[0])
            info.size = len(entry[1])
            tar.addfile(info, io.BytesIO(entry[1]))
    return path


def told(key, number, **more):
    document = {"conversations": ask(f"<image>q{number}", "a"), **more}
    return [(f"{key}.jpg", png(number, kind="JPEG")), (f"{key}.json", json.dumps(document).encode())]


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(("name", "mode"), [("0.tar", "w"), ("0.tar.gz", "w:gz"), ("0.tgz", "w:gz"), ("0.tar", "w:gz")])
def test_shards_plain_and_compressed_whatever_their_name(tmp_path, name, mode):
    entries = [
        *told("d/000", 0),
        ("d/001.png", png(1)),
        ("d/001.txt", "  Ein schöner Tag. \r\n".encode()),
        ("d/002.0.png", png(2)),
        ("d/002.1.jpeg", png(3, kind="JPEG")),
        ("d/002.cls", b"7"),
        ("d/002.json", json.dumps({"question": "Same?", "answer": "no"}).encode()),
        ("d/003.json", json.dumps(ask("only", "text")).encode()),
        ("d/004.png", png(4)),
        ("d/004.json", json.dumps({"caption": "A car.", "url": "x"}).encode()),
        ("d/005.json", json.dumps({"texts": [{"user": "u", "assistant": "v"}]}).encode()),
    ]
    write(tmp_path, entries, name, mode)
    found = samples(card(tmp_path))
    assert [len(sample.images) for sample in found] == [1, 1, 2, 0, 1, 0]
    assert texts(found)[0] == ["<image>q0", "a"]
    assert texts(found)[2] == ["<image>\n<image>\nSame?", "no"]
    assert texts(found)[3] == ["only", "text"]
    for sample, caption in ((found[1], "Ein schöner Tag."), (found[4], "A car.")):
        assert sample.conversations[0].content.removeprefix("<image>\n") in CAPTION
        assert sample.conversations[1].content == caption
        assert sample.meta["task"] == "caption"
    assert found[0].meta["key"] == f"{name}:d/000"


def test_captions_are_asked_for_in_several_wordings(tmp_path):
    write(tmp_path, [entry for n in range(30) for entry in ((f"{n}.png", png(n)), (f"{n}.txt", b"c"))])
    asked = {sample.conversations[0].content for sample in samples(card(tmp_path))}
    assert len(asked) == len(CAPTION)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_hostile_members_are_quarantined_and_touch_nothing(tmp_path, mode):
    huge = tarfile.TarInfo("k.json")
    huge.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.size": str(1 << 50)}
    entries = [
        *told("../../../up", 0),
        *told("/etc/abs", 1),
        ("a.png", png(1)),
        special("a.json", tarfile.SYMTYPE, "/etc/passwd"),
        special("b.json", tarfile.LNKTYPE, "../../secret"),
        special("c.json", tarfile.CHRTYPE),
        special("d.json", tarfile.BLKTYPE),
        special("e.json", tarfile.FIFOTYPE),
        special("folder", tarfile.DIRTYPE),
        ("f.png", b"\x89PNG\r\n\x1a\nbroken"),
        ("f.txt", b"caption"),
        ("g.txt", b"\xff\xfe"),
        ("h.json", b'{"caption": 7}'),
        ("i.png", png(1)),
        ("j.png", png(1)),
        ("j.png", png(2)),
        ("l.json", b'{"caption": "x", "caption": "y"}'),
        *told("good", 9),
    ]
    write(tmp_path, entries, "0.tar", mode, format=tarfile.PAX_FORMAT)
    assert reasons(card(tmp_path)) == [
        ("0.tar:../../../up", "unsafe_path"),
        ("0.tar:/etc/abs", "unsafe_path"),
        *[(f"0.tar:{key}", "unsafe_member") for key in "abcde"],
        ("0.tar:f", "corrupt_image"),
        ("0.tar:g", "invalid_utf8"),
        ("0.tar:h", "invalid_row"),
        ("0.tar:i", "invalid_row"),
        ("0.tar:j", "duplicate_member"),
        ("0.tar:l", "invalid_json"),
    ]
    assert texts(samples(card(tmp_path))) == [["<image>q9", "a"]]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["0.tar", "shards"]  # nothing was unpacked


def test_names_that_are_no_text_and_sizes_that_lie(tmp_path, monkeypatch):
    info = tarfile.TarInfo("x.json")
    info.size = limits.MEMBER_BYTES + 1
    monkeypatch.setattr(tars, "MEMBER_BYTES", 1000)
    path = write(tmp_path, [("nul.txt", b"a"), ("\udcff.txt", b"b"), ("big.txt", bytes(1001)), *told("good", 1)])
    content = path.read_bytes()
    sparse = tarfile.TarInfo("s.txt")
    sparse.type = tarfile.GNUTYPE_SPARSE
    path.write_bytes(sparse.tobuf(tarfile.GNU_FORMAT) + content)
    assert reasons(card(tmp_path)) == [
        ("0.tar:s", "unsafe_member"),
        ("0.tar:\\udcff", "invalid_unicode"),
        ("0.tar:big", "member_too_large"),
    ]
    assert len(samples(card(tmp_path))) == 2


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_shard_that_breaks_keeps_what_came_before(tmp_path, mode):
    whole = write(tmp_path, [entry for n in range(20) for entry in told(f"{n:03}", n)], "a.tar", mode).read_bytes()
    write(tmp_path, told("z", 99), "z.tar")
    for end in (len(whole) // 2, len(whole) // 3, 700):
        (tmp_path / "shards" / "a.tar").write_bytes(whole[:end])
        broken = [key for key, reason in reasons(card(tmp_path)) if reason == "corrupt_archive"]
        assert broken
        assert texts(samples(card(tmp_path)))[-1] == ["<image>q99", "a"]
    for content in (b"", b"rubbish" * 1000, b"\0" * 10_240 if mode == "none" else b"\x1f\x8brubbish"):
        (tmp_path / "shards" / "a.tar").write_bytes(content)
        assert reasons(card(tmp_path)) == [("a.tar", "corrupt_archive")]


def test_a_broken_header_in_the_middle_is_not_taken_for_the_end(tmp_path):
    path = write(tmp_path, [entry for n in range(6) for entry in told(f"{n}", n)])
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        offset = tar.getmembers()[6].offset
    content[offset : offset + 100] = b"\x07" * 100
    path.write_bytes(bytes(content))
    assert reasons(card(tmp_path)) == [("0.tar", "corrupt_archive")]
    assert len(samples(card(tmp_path))) == 3


def test_bombs_are_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "INFLATION_FREE_BYTES", 1 << 20)
    member = tarfile.TarInfo("a.json")
    member.size = 64 << 20
    (tmp_path / "shards").mkdir()
    with gzip.open(tmp_path / "shards" / "0.tar.gz", "wb") as stream:
        stream.write(member.tobuf())
        for _ in range(64):
            stream.write(bytes(1 << 20))
    # The member can't be read, and then the shard neither.
    assert [reason for _, reason in reasons(card(tmp_path))] == ["decompression_bomb"] * 2
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    (tmp_path / "shards" / "0.tar.gz").write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))
    assert reasons(card(tmp_path)) == [("0.tar.gz", "corrupt_archive")]


def test_every_single_damaged_byte_of_the_headers_is_survived(tmp_path):
    path = write(tmp_path, told("a", 1), format=tarfile.PAX_FORMAT, pax_headers={"comment": "x" * 50})
    content = path.read_bytes()
    for position in range(0, 1536, 7):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x5A]) + content[position + 1 :])
        rows(card(tmp_path))


def test_splits_caps_and_the_same_key_in_two_shards(tmp_path):
    for shard in range(3):
        entries = [entry for n in range(20) for entry in told(f"{n:03}", shard * 20 + n, doc=n % 4)]
        write(tmp_path, entries, f"{shard}.tar" if shard else "val-0.tar")
    assert len(samples(card(tmp_path))) == 60
    found = rows(card(tmp_path, split_key="doc", heldout_one_in=2, heldout_files="val-*"))
    sides = {}
    for row in found:
        assert row.split == "heldout" or not row.sample.meta["key"].startswith("val-")
        if not row.sample.meta["key"].startswith("val-"):
            document = int(row.sample.meta["key"].rpartition(":")[2]) % 4
            sides.setdefault(document, set()).add(row.split)
    assert all(len(side) == 1 for side in sides.values())
    capped = {sample.sample_id for sample in samples(card(tmp_path), train=5)}
    assert len(capped) == 5
    assert capped < {sample.sample_id for sample in samples(card(tmp_path), train=25)}
    write(tmp_path, [*told("a", 1), *told("b", 2), *told("a", 3)], "val-0.tar")
    assert ("val-0.tar:a", "duplicate_id") in reasons(card(tmp_path))


def test_the_ledger_closes(tmp_path):
    path = write(tmp_path, [*(entry for n in range(9) for entry in told(f"{n}", n)), ("x.txt", b" ")])
    first = webdataset_tar.identity(card(tmp_path))
    found, heldout, quarantine, count = run_source(tmp_path, card(tmp_path, heldout_one_in=3))
    assert len(found) + len(heldout) + len(quarantine) == 10
    assert (count.rows_out, [row["reason"] for row in quarantine]) == (len(found), ["empty_answer"])
    path.write_bytes(path.read_bytes() + bytes(512))
    assert webdataset_tar.identity(card(tmp_path)) != first
