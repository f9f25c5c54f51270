"""Pictures out of zips that were made to hurt: nothing is unpacked to a disk, nothing is lost unseen."""

import io
import stat
import struct
import zipfile

import pytest
from raw_files import CARD, png

from data.errors import AerieError
from data.registry.cards import SourceCard
from data.registry.raw import pictures as module
from data.registry.raw.pictures import ZippedPictures, limited, picture, pictures
from data.registry.raw.places import place_of
from data.registry.raw.problems import BadRowError


def write(folder, *entries, **options):
    path = folder / "pics.zip"
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, payload in entries:
            archive.writestr(name, payload)
    return path


def reason(found, name):
    with pytest.raises(BadRowError) as caught:
        found.read(name)
    return caught.value.reason


def test_members_are_read_by_their_safe_names(tmp_path):
    found = ZippedPictures(
        write(tmp_path, ("a/b.png", png(1)), ("a/", b""), ("win\\c.png", png(2)), ("ü é.png", png(3)))
    )
    for name, shade in (("a/b.png", 1), ("./a/b.png", 1), ("win/c.png", 2), ("ü é.png", 3)):
        assert found.read(name) == png(shade)
    assert reason(found, "a") == "missing_file"


def test_hostile_names_links_and_twins(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    device = zipfile.ZipInfo("dev.png")
    device.external_attr = (stat.S_IFCHR | 0o777) << 16
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = write(
            tmp_path,
            ("../up.png", png(1)),
            ("/abs.png", png(1)),
            (link, b"/etc/passwd"),
            (device, b""),
            ("twin.png", png(1)),
            ("twin.png", png(2)),
            ("good.png", png(9)),
        )
    found = ZippedPictures(path)
    for name in ("../up.png", "/abs.png"):
        assert reason(found, name) == "unsafe_path"
    assert reason(found, "link.png") == reason(found, "dev.png") == "unsafe_member"
    assert reason(found, "twin.png") == "duplicate_member"
    assert found.read("good.png") == png(9)
    assert [entry.name for entry in tmp_path.iterdir()] == ["pics.zip"]


def test_bombs_lies_and_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 1 << 20)
    path = write(tmp_path, ("bomb.png", bytes(8 << 20)), ("a.png", png(1)), compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    assert reason(ZippedPictures(path), "bomb.png") == "decompression_bomb"
    content = path.read_bytes()
    # The same bomb, whose directory claims a hundred bytes.
    path.write_bytes(content.replace(struct.pack("<I", 8 << 20), struct.pack("<I", 100)))
    assert reason(ZippedPictures(path), "bomb.png") == "corrupt_archive"
    start = content.index(b"a.png") + 5
    path.write_bytes(content[:start] + b"\xff" * 10 + content[start + 10 :])
    assert reason(ZippedPictures(path), "a.png") == "corrupt_archive"
    path = write(tmp_path, ("a.png", bytes(9999)), compression=zipfile.ZIP_LZMA)
    content = path.read_bytes()
    start = content.index(b"a.png") + 9
    path.write_bytes(content[:start] + b"\xff" * 9 + content[start + 9 :])
    assert reason(ZippedPictures(path), "a.png") == "corrupt_archive"
    encrypted = bytearray(write(tmp_path, ("a.png", png(1))).read_bytes())
    entry = encrypted.index(b"PK\x01\x02")
    encrypted[entry + 8] |= 1
    path.write_bytes(bytes(encrypted))
    assert reason(ZippedPictures(path), "a.png") == "unsafe_member"


def test_every_damaged_byte_is_an_answer_or_a_problem(tmp_path):
    whole = write(tmp_path, ("a.png", png(1))).read_bytes()
    for position in range(len(whole)):
        (tmp_path / "pics.zip").write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            ZippedPictures(tmp_path / "pics.zip").read("a.png")
        except (AerieError, BadRowError):
            continue


def test_files_that_are_no_zip(tmp_path):
    whole = write(tmp_path, ("a.png", png(1))).read_bytes()
    for content in (b"", b"PK", whole[:-30], b"\0" * 100):
        (tmp_path / "pics.zip").write_bytes(content)
        place = place_of(SourceCard(**{**CARD, "uri": f"file://{tmp_path}"}))
        with pytest.raises(AerieError, match=r"pics.zip is no zip"):
            pictures(place, "pics.zip")


def test_a_large_file_is_refused_by_its_size(tmp_path):
    with (tmp_path / "big.png").open("wb") as stream:
        stream.truncate(1 << 40)  # a sparse file
    with pytest.raises(BadRowError) as caught:
        limited(tmp_path / "big.png", "big.png")
    assert caught.value.reason == "image_too_large"
    with pytest.raises(BadRowError, match=r"image 'x': UnidentifiedImageError"):
        picture(io.BytesIO(b"text").getvalue(), "x")
