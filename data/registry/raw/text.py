"""Bytes to text and text to JSON, strictly: what two parsers would read differently is refused."""

import json
import math
import re
from typing import Any

from data.registry.raw.limits import JSON_DEPTH, ROW_BYTES
from data.registry.raw.problems import BadRowError

BOM = b"\xef\xbb\xbf"
SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
SURROGATE = re.compile("[\ud800-\udfff]")


def utf8(payload: bytes) -> str:
    """The text without a byte order mark; `BadRowError` says at which byte it stops being UTF-8."""
    try:
        return payload.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        found = payload[error.start : error.start + 4].hex(" ")
        detail = f"not UTF-8 at byte {error.start} ({found}); convert the file, for example with iconv"
        raise BadRowError("invalid_utf8", detail) from None


def clean(text: str, what: str = "text") -> str:
    """The text itself; NUL and lone surrogates, which no tokenizer and no file can carry, raise `BadRowError`."""
    if "\0" in text:
        raise BadRowError("nul_in_text", f"{what} has a NUL at character {text.index(chr(0))}")
    if not text.isascii() and (found := SURROGATE.search(text)):
        raise BadRowError("invalid_unicode", f"{what} has a lone surrogate at character {found.start()}")
    return text.replace("\r\n", "\n") if "\r" in text else text


def parse_json(payload: bytes, max_bytes: int = ROW_BYTES) -> Any:
    """One JSON document by RFC 8259: no NaN, no infinity, no key twice, no depth beyond JSON_DEPTH.

    Raises `BadRowError` with reason `row_too_large`, `invalid_utf8`, `invalid_unicode` or `invalid_json`.
    """
    if len(payload) > max_bytes:
        raise BadRowError("row_too_large", f"{len(payload)} bytes of JSON, {max_bytes} are allowed")
    text = utf8(payload)
    try:
        document = _DECODER.decode(text)
    except RecursionError:
        raise BadRowError("invalid_json", f"nested deeper than {JSON_DEPTH} levels") from None
    except ValueError as error:
        raise BadRowError("invalid_json", str(error)) from None
    # Few documents have so many brackets, and few have such escapes: only those are walked through.
    if payload.count(b"[") + payload.count(b"{") > JSON_DEPTH or SURROGATE_ESCAPE.search(payload):
        _walk(document)
    return document


def parse_object(payload: bytes, max_bytes: int = ROW_BYTES) -> dict[str, Any]:
    """One JSON object; `BadRowError` when it is anything else."""
    document = parse_json(payload, max_bytes)
    if not isinstance(document, dict):
        raise BadRowError("invalid_json", f"expected an object, found {type(document).__name__}")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} stands twice in one object")
    return document


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"number {text[:20]} is beyond a double's range")
    return number


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)


def _walk(document: Any) -> None:
    """Depth and surrogates, without recursion of our own."""
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > JSON_DEPTH:
            raise BadRowError("invalid_json", f"nested deeper than {JSON_DEPTH} levels")
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += [item for pair in value.items() for item in pair]
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str) and not value.isascii():
                clean(value.replace("\0", ""), "a string")
        level = inner
