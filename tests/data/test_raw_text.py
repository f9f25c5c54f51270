"""Strict text and JSON."""

import json

import pytest

from data.registry.raw.limits import JSON_DEPTH
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import clean, parse_json, parse_object, utf8


@pytest.mark.parametrize(
    ("payload", "reason", "message"),
    [
        (b'{"a": NaN}', "invalid_json", "NaN is no JSON number"),
        (b'{"a": [-Infinity]}', "invalid_json", "-Infinity"),
        (b'{"a": 1e999}', "invalid_json", "beyond a double"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "invalid_json", "'c' stands twice"),
        (b'{"a": ' + b"7" * 10_000 + b"}", "invalid_json", "limit"),
        (b"[" * 100_000 + b"]" * 100_000, "invalid_json", f"deeper than {JSON_DEPTH}"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "invalid_json", "deeper"),
        (b"[" * (JSON_DEPTH + 1) + b"]" * (JSON_DEPTH + 1), "invalid_json", "deeper"),
        (b'{"a": "\\ud800"}', "invalid_unicode", "lone surrogate"),
        (b'{"\\uDFFF": 1}', "invalid_unicode", "lone surrogate"),
        (b'{"a": "\xff\xfe"}', "invalid_utf8", "not UTF-8 at byte 7 (ff fe"),
        (b'{"a": 1} trailing', "invalid_json", "Extra data"),
        (b"", "invalid_json", "Expecting value"),
        (b'"' + b"x" * 64 + b'"', "row_too_large", "66 bytes of JSON, 40 are allowed"),
    ],
)
def test_what_two_parsers_read_differently_is_refused(payload, reason, message):
    with pytest.raises(BadRowError) as caught:
        parse_json(payload, 40 if reason == "row_too_large" else 1 << 20)
    assert caught.value.reason == reason
    assert message in str(caught.value)


def test_honest_documents_pass():
    nested = json.loads("[" * JSON_DEPTH + "]" * JSON_DEPTH)
    for document in (
        {"a": "é😀", "b": [1.5, -2, None, True]},
        nested,
        {"pair": "\U0001f600"},
        "x",
        {"many": [[1]] * 999},
    ):
        for escaped in (True, False):  # escaped, an emoji is a pair of surrogates
            assert parse_json(json.dumps(document, ensure_ascii=escaped).encode()) == document
    assert parse_json(b'\xef\xbb\xbf{"a": 1}\r\n') == {"a": 1}
    with pytest.raises(BadRowError, match="expected an object, found list"):
        parse_object(b"[1]")


def test_text_that_no_tokenizer_can_carry():
    assert clean("a\r\nb") == "a\nb"
    for text, reason in (("a\0b", "nul_in_text"), ("a\ud800", "invalid_unicode")):
        with pytest.raises(BadRowError) as caught:
            clean(text)
        assert caught.value.reason == reason
    assert utf8(b"\xef\xbb\xbfa") == "a"


def test_a_detail_can_always_be_shown():
    problem = BadRowError("x", "name \0 \ud800 " + "y" * 1000)
    assert str(problem).startswith("name \\0 \\ud800 yyy")
    assert len(str(problem)) < 310
    str(problem).encode()
