"""The share of repeated n-grams for a whole column of texts at once, by hashes of words instead of words.

The bytes of all texts are one array. A word's hash is the difference of two prefix sums of a rolling polynomial
(modulo 2^64), a gram's hash mixes three of them, and sorting (text, gram) keys counts the distinct ones: about 10 ns
a byte, and the same numbers as `rules_repetition.repeated_ngrams` but for a collision of 40 bits within one text.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from data.curation.rules_repetition import LEAST_WORDS, NGRAM_CHARS, NGRAM_WORDS, WORD_CODES

BLOCK_BYTES = 4 << 20  # text in one go; about 40 times as much memory is used meanwhile
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
WEIGHTS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB), np.uint64(0xD6E8FEB86659FD93))
GRAM_BITS = 40
BLANK = np.uint8(ord(" "))
assert len(WEIGHTS) == NGRAM_WORDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """Of each text: the share of repeated 3-grams of words, and the bytes of its longest word."""

    ratio: np.ndarray
    longest: np.ndarray
    by_characters: np.ndarray


def repetition(texts: pa.StringArray) -> Repetition:
    """Measure all texts. `by_characters` marks those whose words say nothing (see `rules_repetition`)."""
    offsets, data = text_bytes(texts)
    parts = []
    begin = 0
    while begin < len(texts):
        end = max(begin + 1, int(np.searchsorted(offsets, offsets[begin] + BLOCK_BYTES, "right")) - 1)
        part = offsets[begin : end + 1]
        parts.append(_block(data[part[0] : part[-1]], part - part[0]))
        begin = end
    if not parts:
        nothing = np.zeros(0)
        return Repetition(ratio=nothing, longest=nothing, by_characters=nothing.astype(np.bool_))
    ratio, longest, words = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    odd = (words < NGRAM_WORDS) & (np.diff(offsets) > 4 * NGRAM_CHARS)
    return Repetition(ratio=ratio, longest=longest, by_characters=odd)


def text_bytes(texts: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 [N + 1], bytes uint8) of a string array."""
    _, offsets, data = texts.buffers()
    found = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    return found, np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)


@lru_cache(maxsize=4)
def _powers(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Powers of the multiplier and of its inverse, uint64 [size]."""
    up, down = np.full(size, MULTIPLIER), np.full(size, INVERSE)
    up[0] = down[0] = 1
    return np.multiply.accumulate(up), np.multiply.accumulate(down)


def _block(data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ratio, longest word, number of words) of each text in a block of bytes."""
    count = len(offsets) - 1
    codes = WORD_CODES[data]
    inside = codes != BLANK
    starts, ends = _edges(inside, offsets)
    bounds = np.searchsorted(starts, offsets)
    words = np.diff(bounds)
    longest = np.zeros(count, np.int64)
    text = np.repeat(np.arange(count), words)
    np.maximum.at(longest, text, ends - starts)
    ratio = np.zeros(count)
    if len(starts) < NGRAM_WORDS:
        return ratio, longest, words
    # The tables have round sizes, so that few of them are made.
    up, down = _powers(1 << max(16, len(data).bit_length()))
    prefix = np.concatenate([np.zeros(1, np.uint64), np.cumsum(codes * up[: len(codes)], dtype=np.uint64)])
    word = _mixed((prefix[ends] - prefix[starts]) * down[starts])
    gram = word[:-2] * WEIGHTS[0] + word[1:-1] * WEIGHTS[1] + word[2:] * WEIGHTS[2]
    whole = text[:-2] == text[2:]
    keys = (text[:-2][whole].astype(np.uint64) << np.uint64(GRAM_BITS)) | (
        _mixed(gram[whole]) >> np.uint64(64 - GRAM_BITS)
    )
    keys.sort()
    new = np.concatenate([keys[:1] == keys[:1], keys[1:] != keys[:-1]])
    distinct = np.bincount((keys[new] >> np.uint64(GRAM_BITS)).astype(np.int64), minlength=count)
    grams = np.maximum(words - NGRAM_WORDS + 1, 0)
    np.divide(distinct, grams, out=ratio, where=grams > 0)
    return np.where(words >= LEAST_WORDS, 1 - ratio, 0.0), longest, words


def _edges(inside: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where words begin and end; a text's edge is one too."""
    full = offsets[:-1] < offsets[1:]
    before, after = np.zeros_like(inside), np.zeros_like(inside)
    before[1:], after[:-1] = inside[:-1], inside[1:]
    before[offsets[:-1][full]] = False
    after[offsets[1:][full] - 1] = False
    return np.flatnonzero(inside & ~before), np.flatnonzero(inside & ~after) + 1


def _mixed(hashes: np.ndarray) -> np.ndarray:
    """Every bit of the input moves the high bits of the output."""
    hashes = (hashes ^ (hashes >> np.uint64(31))) * WEIGHTS[1]
    return hashes ^ (hashes >> np.uint64(29))
