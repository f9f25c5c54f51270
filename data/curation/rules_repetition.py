"""Text that repeats itself: n-grams, loops, lines, and whole turns (paper: Figure 5, repeated text)."""

import re
import string
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from data.curation.rules import normal
from data.curation.talk import Talk, asked, images_so_far

NGRAM_WORDS, NGRAM_CHARS = 3, 10
LEAST_WORDS = 8  # a shorter text may say the same word again ("no no no")
LOOP_FROM = 0.075  # below this share of repeated n-grams a text is not searched for loops and repeated lines
LOOP_TIMES = 4  # a loop says its unit so often, back to back; a refrain rarely does
LONG_WORD = 24  # bytes; such a word is searched for a loop of characters
LINE_WORDS, LINES = (
    2,
    5,
)  # shorter lines may repeat (braces, "else:"), and so may the lines of a short text
SHOWN = 60
CHARACTER_LOOP = re.compile(rb"([^ ]{1,12}?)\1{7,}")


def _separators() -> bytes:
    """Bytes to words: ASCII letters to lower case, other ASCII than letters, digits and ' to a blank."""
    table = bytearray(range(256))
    for code in range(128):
        char = chr(code)
        table[code] = ord(char.lower()) if char in string.ascii_letters + string.digits + "'" else ord(" ")
    return bytes(table)


WORD_BYTES = _separators()
WORD_CODES = np.frombuffer(WORD_BYTES, np.uint8)


def byte_words(text: str) -> list[bytes]:
    """The words of a text as UTF-8 bytes, ASCII in lower case; text without blanks (Chinese) is one long word."""
    return text.encode("utf-8", "surrogatepass").translate(WORD_BYTES).split()


def _repeated(words: list[bytes]) -> float:
    grams = [tuple(words[at : at + NGRAM_WORDS]) for at in range(len(words) - NGRAM_WORDS + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _repeated_pieces(text: str) -> float:
    pieces = len(text) - NGRAM_CHARS + 1
    return 1 - len({text[at : at + NGRAM_CHARS] for at in range(pieces)}) / pieces if pieces > 0 else 0.0


def by_characters(words: int, length: int) -> bool:
    """True for a long text (length in bytes) with hardly any words."""
    return words < NGRAM_WORDS and length > 4 * NGRAM_CHARS


@lru_cache(maxsize=64)
def repeated_ngrams(text: str) -> float:
    """Share of word 3-grams that stood before; of character 10-grams where a long text has hardly any words.

    A text of fewer than `LEAST_WORDS` words repeats nothing."""
    words = byte_words(text)
    if by_characters(len(words), len(text.encode("utf-8", "surrogatepass"))):
        return _repeated_pieces(normal(text))
    return _repeated(words) if len(words) >= LEAST_WORDS else 0.0


def loop_share(text: str) -> float:
    """Share of a text's words in its longest loop (a unit said `LOOP_TIMES` times or more, back to back), 0 to 1.

    Words of `LONG_WORD` bytes and more are searched for loops of characters.
    """
    words = byte_words(text)
    whole = by_characters(len(words), len(text.encode("utf-8", "surrogatepass")))
    if not words or (whole and repeated_ngrams(text) < LOOP_FROM):
        return 0.0
    share = max(map(_looped_bytes, words)) / sum(map(len, words))
    if len(words) < 2 * LOOP_TIMES or _repeated(words) < LOOP_FROM:
        return share
    return max(share, _looped_words(words) / len(words))


def _looped_bytes(word: bytes) -> int:
    """Bytes in the longest loop of characters of a long word."""
    if len(word) < LONG_WORD:
        return 0
    # A loop repeats pieces of four bytes; looking for that first is far quicker than the pattern.
    pieces = len(word) - 3
    if pieces - len({word[at : at + 4] for at in range(pieces)}) < 4:
        return 0
    return max((len(match.group(0)) for match in CHARACTER_LOOP.finditer(word)), default=0)


def _looped_words(words: list[bytes]) -> int:
    """Words in the longest stretch whose every 3-gram stood the same distance before."""
    last: dict[tuple[bytes, ...], int] = {}
    longest = run = period = 0
    for at in range(len(words) - NGRAM_WORDS + 1):
        gram = tuple(words[at : at + NGRAM_WORDS])
        distance = at - last.get(gram, at)
        run = run + 1 if distance and distance == period else int(distance > 0)
        period = distance
        stretch = run + period + NGRAM_WORDS - 1
        if period and stretch >= LOOP_TIMES * period and stretch >= 2 * LOOP_TIMES:
            longest = max(longest, stretch)
        last[gram] = at
    return longest


def repeated_lines(text: str) -> float:
    """Share of lines (of two words and more) that stood before; 0 for a text of fewer than five such lines."""
    if text.count("\n") < LINES - 1 or _repeated(byte_words(text)) < LOOP_FROM:
        return 0.0
    lines = [line for line in map(normal, text.splitlines()) if len(byte_words(line)) >= LINE_WORDS]
    counts = Counter(lines)
    return 1 - len(counts) / len(lines) if len(lines) >= LINES else 0.0


def of_answers(share: Callable[[str], float], talk: Talk) -> tuple[float, str]:
    """The highest share of any answer, with the beginning of that answer."""
    worst = max(talk.answers, key=share, default="")
    value = share(worst)
    return value, f"{value:.0%} of {worst.strip()[:SHOWN]!r}" if value else ""


def repeated_turns(talk: Talk) -> tuple[float, str]:
    """Share of question-answer pairs that repeat an earlier pair."""
    said = talk.pairs()
    images = images_so_far(said)
    pairs = [(asked(q), normal(a), place) for (q, a), place in zip(said, images, strict=True)]
    seen: set[tuple[str, str, int]] = set()
    first = ""
    for pair in pairs:
        if pair in seen and not first:
            first = f"{pair[0]!r} -> {pair[1]!r} again"
        seen.add(pair)
    return (1 - len(seen) / len(pairs) if pairs else 0.0), first
