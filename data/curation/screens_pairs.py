"""Screens of question-answer pairs: whose kinds or languages may not fit."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.curation.rules import AUXILIARIES
from data.curation.rules_language import ENGLISH, FEW, LEAST_WORDS, MANY, PIECES
from data.curation.rules_mismatch import BOOLEANS, HEDGES, NUMBER_WORDS, SHORT_CHARS

LETTERS = "ABCDEFGH"


def _anyof(words: frozenset[str]) -> str:
    return "|".join(sorted(words))


HOW_MANY = "(?i)(?:^|[^a-z])(?:how many|what number of)"
START = r"(?i)(?:^|[.?!\n>])[^!-~]*"  # of a sentence
POLAR = f"{START}(?:{AUXILIARIES})(?:n't)?(?:[^a-z0-9_]|$)"
OPEN = f"{START}(?:what|which|who|where|when|why|how)"
# These clear a pair, so they say less than the exact rules accept.
COUNTED = rf"(?i)[0-9]|(?:^|[\s(])(?:{_anyof(NUMBER_WORDS)})(?:$|[\s.,;:)])"
BOOLEAN = rf"(?i)(?:^|[\s(])(?:{_anyof(BOOLEANS | HEDGES)})(?:$|[\s.,;:)])"
BARE = r"(?i)^[^a-z0-9]*(?:yes|no)[^a-z0-9]*$"
CHOSEN = r"(?i)^[^!-~]*(?:the )?(?:answer|option|choice)?(?: is)?[:\s]*\(?[A-H]\)?[.):]?[^!-~]*$"
READING = r"(?i)(?:^|[^a-z])(?:read|transcribe) "
LETTER_AND_TEXT = r"^[^!-~]*\(?[A-H][.):]\s*\S"


def found(texts: pa.StringArray, pattern: str) -> np.ndarray:
    """Which texts an RE2 pattern finds something in."""
    return pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)


def among(texts: pa.StringArray, pattern: str, chosen: np.ndarray) -> np.ndarray:
    """Those of the chosen indices whose text matches."""
    return chosen[found(texts.take(pa.array(chosen)), pattern)] if len(chosen) else chosen


def other_kinds(questions: pa.StringArray, answers: pa.StringArray) -> np.ndarray:
    """Pairs whose kinds may not fit."""
    counting = found(questions, HOW_MANY)
    counts = np.flatnonzero(counting)
    uncounted = counts[~found(answers.take(pa.array(counts)), COUNTED)] if len(counts) else counts
    length = pc.utf8_length(answers).to_numpy(zero_copy_only=False)
    short = np.flatnonzero((length <= SHORT_CHARS) & ~counting)
    brief = answers.take(pa.array(short))
    neither = among(questions, POLAR, short[~found(brief, BOOLEAN)])
    bare = among(questions, OPEN, short[found(brief, BARE)])
    return np.concatenate(
        [uncounted, neither, bare, _absent_letters(questions, short, brief), _other_texts(questions, answers)]
    )


def _absent_letters(questions: pa.StringArray, short: np.ndarray, brief: pa.StringArray) -> np.ndarray:
    """Pairs whose answer is one letter that doesn't stand before an option of the question."""
    chosen = found(brief, CHOSEN)
    pairs = short[chosen]
    letters = pc.utf8_upper(pc.replace_substring_regex(brief.filter(pa.array(chosen)), "[^A-Za-z]+$", ""))
    last = pc.utf8_slice_codeunits(letters, -1).to_numpy(zero_copy_only=False)
    suspects = [pairs[:0]]
    for letter in LETTERS:
        mine = pairs[last == letter]
        if len(mine):
            suspects.append(mine[~found(questions.take(pa.array(mine)), rf"(?:^|[\s(]){letter}[.):]\s*\S")])
    return np.concatenate(suspects)


def _other_texts(questions: pa.StringArray, answers: pa.StringArray) -> np.ndarray:
    """Pairs whose answer is a letter with a text that the question doesn't list just so."""
    pairs = np.flatnonzero(found(answers, LETTER_AND_TEXT))
    chosen = pa.array(pairs)
    texts = zip(questions.take(chosen).to_pylist(), answers.take(chosen).to_pylist(), strict=True)
    return pairs[[answer.strip() not in question for question, answer in texts]] if len(pairs) else pairs


def other_languages(questions: pa.StringArray, answers: pa.StringArray) -> np.ndarray:
    """Pairs that are long enough to be in a language, not both English, and not about reading a text."""
    length = [pc.utf8_length(texts).to_numpy(zero_copy_only=False) for texts in (questions, answers)]
    plain = [pc.string_is_ascii(texts).to_numpy(zero_copy_only=False) for texts in (questions, answers)]
    enough = [
        np.where(ascii_only, chars >= MANY, chars >= FEW) for ascii_only, chars in zip(plain, length, strict=True)
    ]
    # Of two ASCII texts only the language can differ, which takes some words.
    worded = (~plain[0] | ~plain[1]) | np.logical_and(*(chars >= 2 * LEAST_WORDS - 1 for chars in length))
    pairs = np.flatnonzero(enough[0] & enough[1] & worded)
    for same in (ENGLISH, *PIECES):
        if len(pairs):
            mine, said = questions.take(pa.array(pairs)), answers.take(pa.array(pairs))
            pairs = pairs[~(found(mine, same) & found(said, same))]
        if same == ENGLISH and len(pairs):
            pairs = pairs[~found(questions.take(pa.array(pairs)), READING)]
    return pairs
