"""Rows of JSON and JSONL files: any size, any damage, in bounded memory."""

import gzip
import json
import random
import tracemalloc

import pytest

from data.registry.raw import lines
from data.registry.raw.lines import rows_of
from data.registry.raw.problems import BadRowError


def found(path, **options):
    """(place, payload or reason) of each row."""
    return [(row.place, row.problem.reason if row.problem else row.payload) for row in rows_of(path, **options)]


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


def test_lines_with_bom_crlf_blanks_and_no_last_newline(tmp_path):
    path = write(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n[2]\r\n{"b": 3}')
    assert found(path) == [(1, b'{"a": 1}'), (4, b"[2]"), (5, b'{"b": 3}')]
    assert found(write(tmp_path, "empty.jsonl", b"")) == []
    assert found(write(tmp_path, "blank.json", b" \n ")) == []


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1 << 20])
def test_chunks_cut_nothing(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(lines, "CHUNK_BYTES", chunk)
    documents = [{"t": 'q"\\\\ ] } , [ {'}, [1, [2, {"a": []}]], "s,]", 7, {}, {"\\": "\\"}, {"k": "\u00e9😀"}]
    for escaped in (True, False):
        array = json.dumps(documents, ensure_ascii=escaped).encode()
        rows = list(rows_of(write(tmp_path, "a.json", b"\xef\xbb\xbf \n" + array + b"\n")))
        assert [json.loads(row.payload) for row in rows] == documents
        assert [row.place for row in rows] == [1, 2, 3, 4, 5, 6, 7]
        whole = b'{"info": {"questions": [9]}, "x": "questions", "y": [8], "questions": ' + array + b', "z": 1}'
        rows = list(rows_of(write(tmp_path, "b.json", whole), key="questions"))
        assert [json.loads(row.payload) for row in rows] == documents
        as_lines = b"\r\n".join(json.dumps(one, ensure_ascii=escaped).encode() for one in documents)
        rows = list(rows_of(write(tmp_path, "c.jsonl", as_lines)))
        assert [json.loads(row.payload) for row in rows] == documents


def test_any_cut_is_told_and_rows_before_it_are_kept(tmp_path):
    documents = [{"id": number, "t": "a,b]"} for number in range(4)]
    array = json.dumps(documents).encode()
    for end in range(1, len(array)):
        rows = list(rows_of(write(tmp_path, "a.json", array[:end])))
        assert rows[-1].problem is not None
        assert rows[-1].problem.reason == "invalid_json"
        whole = [json.loads(row.payload) for row in rows if row.problem is None]
        assert whole == documents[: len(whole)]


def test_random_bytes_never_crash(tmp_path):
    rng = random.Random(5)
    for _ in range(200):
        content = bytes(rng.choice(b'[]{},"\\: \n\0a\xff') for _ in range(rng.randrange(60)))
        for name, key in (("a.json", None), ("a.jsonl", None), ("b.json", "a")):
            list(rows_of(write(tmp_path, name, b"[" + content), key=key))


def test_a_bad_element_spoils_no_other(tmp_path):
    rows = found(write(tmp_path, "a.json", b'[{"a": NaN}, , {"a": 1,}, 5 6, {"ok": 1}, ]'))
    assert [payload for _, payload in rows] == [b'{"a": NaN}', b"", b'{"a": 1,}', b"5 6", b'{"ok": 1}', b""]
    assert found(write(tmp_path, "b.json", b"[]")) == []
    for content in (b"[1] [2]", b'{"a": [1], "a": [2]}'):
        rows = found(write(tmp_path, "c.json", content), key=None if content[:1] == b"[" else "a")
        assert rows == [(1, b"1"), (2, "invalid_json")]
    assert found(write(tmp_path, "d.json", b'{"b": [1]}'), key="a") == [(1, "invalid_json")]


def test_a_huge_row_is_skipped_without_being_held(tmp_path):
    size = 24 << 20
    as_line = write(tmp_path, "a.jsonl", b'{"a": 1}\n"' + b"x" * size + b'"\n{"b": 2}\n')
    as_element = write(tmp_path, "a.json", b'[{"a": 1}, "' + b"x" * size + b'", {"b": 2}]')
    for path, second in ((as_line, size + 2), (as_element, size + 3)):
        tracemalloc.start()
        rows = list(rows_of(path, max_bytes=1 << 20))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert [row.problem.reason if row.problem else row.payload for row in rows] == [
            b'{"a": 1}',
            "row_too_large",
            b'{"b": 2}',
        ]
        assert f"{second} bytes" in str(rows[1].problem)
        assert peak < 8 << 20


def test_gzip_is_read_and_bombs_and_damage_are_told(tmp_path):
    good = gzip.compress(b'{"a": 1}\n{"b": 2}\n')
    assert found(write(tmp_path, "a.jsonl.gz", good)) == [(1, b'{"a": 1}'), (2, b'{"b": 2}')]
    assert found(write(tmp_path, "a.json.gz", gzip.compress(b"[1, 2]"))) == [(1, b"1"), (2, b"2")]
    for broken in (good[:-9], b"no gzip at all", good[:12] + b"\xff" * 8 + good[20:]):
        assert found(write(tmp_path, "b.jsonl.gz", broken))[-1][1] == "corrupt_archive"


def test_a_gzip_bomb_is_stopped_long_before_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "INFLATION_FREE_BYTES", 1 << 20)
    path = write(tmp_path, "bomb.jsonl.gz", gzip.compress(b"x" * (64 << 20), 9))
    unpacked = 0
    with pytest.raises(BadRowError) as caught:  # noqa: PT012 - the loop is what raises
        stream = lines.open_raw(path)
        while chunk := stream.read(1 << 20):
            unpacked += len(chunk)
    assert caught.value.reason == "decompression_bomb"
    assert unpacked < 16 << 20
    assert found(path) == [(1, "decompression_bomb")]
