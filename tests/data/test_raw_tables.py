"""CSV and TSV records: quotes, damage, encodings and sizes."""

import pytest

from data.registry.raw import tables
from data.registry.raw.problems import BadRowError
from data.registry.raw.tables import records


def write(folder, content):
    path = folder / "a.tsv"
    path.write_bytes(content)
    return path


def found(path, **options):
    return [(row.line, row.problem.reason if row.problem else row.cells) for row in records(path, "\t", **options)]


def test_quotes_newlines_bom_crlf_and_blank_lines(tmp_path):
    path = write(tmp_path, b'\xef\xbb\xbfa\tb\r\n1\t"two\nlines ""q"""\r\n\r\n2\t\xc3\xa9\n3\t')
    expected = [(2, {"a": "1", "b": 'two\nlines "q"'}), (5, {"a": "2", "b": "é"}), (6, {"a": "3", "b": ""})]
    assert found(path) == expected
    for record in records(path, "\t"):
        assert next(records(path, "\t", record.offset)).cells == record.cells  # each can be found again


def test_broken_records_spoil_no_other(tmp_path):
    path = write(tmp_path, b"a\tb\n1\n1\t2\t3\n\xff\tx\nok\tn\0l\nlast\t1\n")
    assert found(path) == [
        (2, "invalid_table"),
        (3, "invalid_table"),
        (4, "invalid_utf8"),
        (5, {"a": "ok", "b": "n\0l"}),
        (6, {"a": "last", "b": "1"}),
    ]


def test_cells_beyond_csvs_own_limit_and_beyond_ours(tmp_path, monkeypatch):
    path = write(tmp_path, b"a\tb\n1\t" + b"x" * 300_000 + b"\n2\ty\n")
    assert [len(row.cells["b"]) for row in records(path, "\t")] == [300_000, 1]
    monkeypatch.setattr(tables, "TABLE_ROW_BYTES", 1000)
    assert found(path) == [(2, "row_too_large"), (3, {"a": "2", "b": "y"})]


def test_a_quote_left_open_does_not_swallow_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "TABLE_ROW_BYTES", 1000)
    path = write(tmp_path, b'a\tb\n1\t"open\n' + b"5\tfive\n" * 400)
    rows = found(path)
    assert rows[0] == (2, "row_too_large")
    assert rows[-1][1] == {"a": "5", "b": "five"}
    assert len(rows) > 200
    unclosed = write(tmp_path, b'a\tb\n1\t"open\n2\tx\n')
    assert len(found(unclosed)) == 1


def test_a_file_without_a_head(tmp_path):
    for content in (b"", b"a\ta\n1\t2\n"):
        with pytest.raises(BadRowError) as caught:
            found(write(tmp_path, content))
        assert caught.value.reason == "invalid_table"
