"""JSON rows out of files of any size: lines, elements of one large array, or of an array under a key.

Memory stays at one chunk and one row. A row that is longer than allowed is skipped and told, not held.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from data.registry.raw.limits import CHUNK_BYTES, INFLATION, INFLATION_FREE_BYTES, NAME_BYTES, ROW_BYTES
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import BOM

HEAD_BYTES = 4096  # holds a byte order mark and the first bracket
LINE_END = b"\n"
OUTSIDE = re.compile(rb'[{}\[\]",]')
INSIDE = re.compile(rb'["\\]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The bytes of one row, or why there are none.

    `place` is its line, or its element's number, from 1; `size` is what a line takes in the file, with its end.
    """

    place: int
    size: int = 0
    payload: bytes = b""
    problem: BadRowError | None = None


class Inflating:
    """A readable stream that stops a decompression bomb: unpacked bytes are weighed against the packed file's size."""

    def __init__(self, stream: BinaryIO, packed_bytes: int) -> None:
        self._stream, self._packed, self._unpacked = stream, packed_bytes, 0

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes (one chunk when negative); `BadRowError` on a bomb or a broken stream."""
        size = CHUNK_BYTES if size < 0 else size
        try:
            payload = self._stream.read(size)
        except (EOFError, OSError, zlib.error) as error:
            raise BadRowError("corrupt_archive", f"after {self._unpacked} bytes: {error}") from None
        self._unpacked += len(payload)
        if self._unpacked > max(INFLATION_FREE_BYTES, INFLATION * self._packed):
            detail = f"{self._packed} packed bytes unpack to more than {INFLATION} times as many"
            raise BadRowError("decompression_bomb", detail)
        return payload


def is_gzip(path: Path) -> bool:
    """By content: names lie. A file that only calls itself .gz is opened as one too, and found broken."""
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b" or path.suffix in {".gz", ".tgz"}


def open_raw(path: Path) -> BinaryIO:
    """A file for reading; gzip is unpacked under `Inflating`."""
    if is_gzip(path):
        return Inflating(gzip.open(path, "rb"), path.stat().st_size)  # type: ignore[arg-type, return-value]
    return path.open("rb")


def rows_of(path: Path, key: str | None = None, max_bytes: int = ROW_BYTES) -> Iterator[Row]:
    """The rows of a JSON or JSONL file: elements of an array, of the array under `key`, else non-empty lines.

    A stream that breaks ends with a row that carries the problem.
    """
    stream = open_raw(path)
    place = 0
    try:
        head = stream.read(HEAD_BYTES)
        start = head.removeprefix(BOM).lstrip()[:1]
        lines = ".jsonl" in path.suffixes or ".ndjson" in path.suffixes
        if key is not None or (start == b"[" and not lines):
            found = _elements(head, stream, key, max_bytes)
        else:
            found = _filled(_lines(head, stream, max_bytes))
        for row in found:
            place = row.place
            yield row
    except BadRowError as problem:
        yield Row(place=place + 1, problem=problem)
    finally:
        getattr(stream, "close", lambda: None)()


def lines_of(path: Path, max_bytes: int, start: int = 0) -> Iterator[Row]:
    """Every line with its end, blank ones too, from a line's first byte on; a stream that breaks ends with its problem.

    A `start` other than 0 needs a file that isn't compressed.
    """
    stream, place = path.open("rb") if start else open_raw(path), 0
    try:
        if start:
            stream.seek(start)
        for row in _lines(stream.read(HEAD_BYTES), stream, max_bytes):
            place = row.place
            yield row
    except BadRowError as problem:
        yield Row(place=place + 1, problem=problem)
    finally:
        getattr(stream, "close", lambda: None)()


def _filled(rows: Iterator[Row]) -> Iterator[Row]:
    """Lines that aren't blank, without the white space around them."""
    for row in rows:
        if row.problem is not None:
            yield row
        elif payload := row.payload.strip():
            yield Row(place=row.place, payload=payload)


def _lines(head: bytes, stream: BinaryIO, max_bytes: int) -> Iterator[Row]:
    number, rest, skipped = 1, head.removeprefix(BOM), 0
    mark, chunk = len(head) - len(rest), rest
    while chunk:
        *whole, rest = rest.split(b"\n")
        for line in whole:
            yield _line(number, line + b"\n", skipped, max_bytes, mark)
            number, skipped, mark = number + 1, 0, 0
        if skipped or len(rest) > max_bytes:
            rest, skipped = b"", skipped + len(rest)
        chunk = stream.read(CHUNK_BYTES)
        rest += chunk
    if rest or skipped:
        yield _line(number, rest, skipped, max_bytes, mark)


def _line(number: int, line: bytes, skipped: int, max_bytes: int, mark: int) -> Row:
    size = mark + skipped + len(line)
    if skipped or len(line) > max_bytes + 1:
        detail = f"a row of {skipped + len(line.removesuffix(LINE_END))} bytes, {max_bytes} are allowed"
        return Row(place=number, size=size, problem=BadRowError("row_too_large", detail))
    return Row(place=number, size=size, payload=line)


def _elements(head: bytes, stream: BinaryIO, key: str | None, max_bytes: int) -> Iterator[Row]:
    splitter, chunk = _Splitter(key, max_bytes), head.removeprefix(BOM)
    while chunk:
        yield from splitter.feed(chunk)
        chunk = stream.read(CHUNK_BYTES)
    splitter.finish()


class _Splitter:
    """Finds where the elements of one array begin and end, by its structural bytes, chunk by chunk.

    `depth` counts open brackets; the array that is meant opens at `level`: at 1, or at 2 below a key of the document.
    """

    def __init__(self, key: str | None, max_bytes: int) -> None:
        self.key, self.level, self.max_bytes = key, 1 if key is None else 2, max_bytes
        self.depth, self.number, self.arrays = 0, 0, 0
        self.in_string, self.escaped, self.active = False, False, False
        self.name, self.naming = b"", False  # the last string directly in the document: an array's key
        self.held, self.size = [b""], 0  # the pieces of the element that is being read, and its bytes so far

    def feed(self, chunk: bytes) -> Iterator[Row]:
        """The elements that end in this chunk."""
        position = begin = 0
        while position < len(chunk):
            if self.escaped:
                position, self.escaped = position + 1, False
                continue
            match = (INSIDE if self.in_string else OUTSIDE).search(chunk, position)
            if match is None:
                break
            start, position = match.span()
            if self.naming:
                self.name = (self.name + chunk[begin:start])[:NAME_BYTES]
                begin = start
            if self._separates(match[0]):
                yield from self._element(chunk[begin:start], last=match[0] == b"]")
            if self._step(match[0]):
                begin = position
        if self.naming:
            self.name = (self.name + chunk[begin:])[:NAME_BYTES]
        elif self.active:
            self._hold(chunk[begin:])

    def finish(self) -> None:
        """The end of the file: `BadRowError` when the array never came, or never ended."""
        if self.active or self.in_string or self.depth:
            raise BadRowError("invalid_json", f"the file ends too early, after element {self.number}")
        if not self.arrays:
            raise BadRowError("invalid_json", f"no array under the key {self.key!r}")

    def _separates(self, token: bytes) -> bool:
        return self.active and self.depth == self.level and not self.in_string and token in b",]"

    def _step(self, token: bytes) -> bool:
        """Take a token; True when what follows it is the beginning of a piece."""
        if token == b"\\":
            self.escaped = True
            return False
        if token == b'"':
            self.in_string = not self.in_string
            self.naming = self.in_string and self.depth == 1 and not self.active and self.key is not None
            self.name = b"" if self.naming else self.name
            return self.naming
        if token == b",":
            return self.active and self.depth == self.level
        if token in b"]}":
            self.active = self.active and self.depth > self.level
            self.depth -= 1
            return False
        self.depth += 1
        if token == b"[" and self.depth == self.level and self.name == (self.key or "").encode():
            self.arrays += 1
            if self.arrays > 1:
                raise BadRowError("invalid_json", f"a second array (key {self.key!r}) after element {self.number}")
            self.active = True
            return True
        return False

    def _hold(self, piece: bytes) -> None:
        self.size += len(piece)
        self.held = [*self.held, piece] if self.size <= self.max_bytes else []

    def _element(self, piece: bytes, *, last: bool) -> Iterator[Row]:
        self._hold(piece)
        payload, size = b"".join(self.held).strip(), self.size
        self.held, self.size = [], 0
        if last and not self.number and not payload and size <= self.max_bytes:
            return  # an empty array
        self.number += 1
        if size > self.max_bytes:
            detail = f"an element of {size} bytes, {self.max_bytes} are allowed"
            yield Row(place=self.number, problem=BadRowError("row_too_large", detail))
        else:
            yield Row(place=self.number, payload=payload)
