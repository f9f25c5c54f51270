"""CSV and TSV files of strangers, record by record, with cells of any honest size and lines that may break off."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.registry.raw.limits import TABLE_ROW_BYTES
from data.registry.raw.lines import Row, lines_of
from data.registry.raw.problems import BadRowError

ESCAPED_BYTES = range(0xDC80, 0xDD00)  # what surrogateescape makes of bytes that are not UTF-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record by column name, or what is wrong with it.

    It begins at `line`, from 1 (below `start`, see `records`), which is the file's byte `offset`.
    """

    line: int
    offset: int
    cells: dict[str, str]
    problem: BadRowError | None = None


class _Feed:
    """Lines for csv.reader. What it raises passes through the reader, which goes on with the next record."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows, self.line, self.held, self.offset = rows, 0, 0, 0

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        row = next(self._rows)
        self.line, self.offset = row.place, self.offset + row.size
        if row.problem is not None:
            raise row.problem
        self.held += len(row.payload)  # of this record so far: a quote that is never closed holds many lines
        if self.held > TABLE_ROW_BYTES:
            raise BadRowError("row_too_large", f"a record of more than {TABLE_ROW_BYTES} bytes: is a quote left open?")
        return row.payload.decode("utf-8", "surrogateescape")


def records(path: Path, delimiter: str, start: int = 0) -> Iterator[Record]:
    """The records below the head line, or from the one at the byte `start` on; `BadRowError` when there is no head.

    Cells are as written; those with bytes that are not UTF-8, or with too few or too many cells, carry a problem.
    """
    csv.field_size_limit(TABLE_ROW_BYTES)  # the module's own 128 KiB hold no picture; the setting is the process's
    feed = _Feed(lines_of(path, TABLE_ROW_BYTES))
    reader = csv.reader(feed, delimiter=delimiter)
    head = _next(reader, feed)
    if isinstance(head, BadRowError):
        raise head
    if head is None or len(set(head)) != len(head):
        raise BadRowError("invalid_table", f"{path.name}: no line of distinct column names at its head")
    if start:
        feed = _Feed(lines_of(path, TABLE_ROW_BYTES, start))
        reader, feed.offset = csv.reader(feed, delimiter=delimiter), start
    while True:
        begin, offset, feed.held = feed.line + 1, feed.offset, 0
        cells = _next(reader, feed)
        if cells is None:
            return
        if isinstance(cells, BadRowError):
            yield Record(line=begin, offset=offset, cells={}, problem=cells)
        elif cells:
            yield _record(begin, offset, head, cells)


def _next(reader: Iterator[list[str]], feed: _Feed) -> list[str] | BadRowError | None:
    try:
        return next(reader)
    except StopIteration:
        return None
    except BadRowError as problem:
        return problem
    except csv.Error as error:
        return BadRowError("invalid_table", f"line {feed.line}: {error}")


def _record(line: int, offset: int, head: list[str], cells: list[str]) -> Record:
    named = dict(zip(head, cells, strict=False))
    problem = None
    if len(cells) != len(head):
        problem = BadRowError("invalid_table", f"{len(cells)} cells under {len(head)} column names")
    for name, cell in named.items():
        if not cell.isascii() and any(ord(letter) in ESCAPED_BYTES for letter in cell):
            problem = BadRowError(
                "invalid_utf8", f"column {name!r} is not UTF-8; convert the file, for example with iconv"
            )
    return Record(line=line, offset=offset, cells=named, problem=problem)
