r"""Cheap looks at whole columns: which rows could have something that an exact rule counts.

A screen may let a clean row through to the exact rule, never the reverse. So its patterns leave out what RE2 can't
say (look-arounds) or says otherwise (`\b` is about ASCII there).
"""

import string
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.curation.repetition import text_bytes
from data.curation.rules import AUXILIARIES
from data.curation.rules_mismatch import BOOLEANS, HEDGES, NUMBER_WORDS, SHORT_CHARS
from data.curation.turns import Turns
from data.schema import IMAGE_PLACEHOLDER

LETTERS = "ABCDEFGH"
ROW_BITS = 40
# A weight for each byte: none for blanks, the same for both cases, and for all bytes beyond ASCII, whose case varies.
BYTE_WEIGHTS = np.random.default_rng(2).integers(0, 1 << 63, 256, np.uint64) * np.uint64(2)
BYTE_WEIGHTS[[ord(char) for char in string.whitespace]] = 0
BYTE_WEIGHTS[ord("A") : ord("Z") + 1] = BYTE_WEIGHTS[ord("a") : ord("z") + 1]
BYTE_WEIGHTS[128:] = BYTE_WEIGHTS[128]


def _anyof(words: frozenset[str]) -> str:
    return "|".join(sorted(words))


IMAGE_WORDS = "image|picture|photo|photograph|figure|chart|graph|diagram|screenshot"
REFUSES = (
    "(?i:as an ai|i(?:['’]m| am) (?:sorry|afraid|unable|not able)"
    "|i (?:can ?not|can['’]t) (?:see|view|assist|help|answer))"
)
LEAKS = r"<\||<image>|</?img>|IMG_CONTEXT>"
RESIDUES = (
    r"\{\{|(?i:\{(?:answer|question|value|name|text|number|label|result)\}|\[(?:insert|your|fill)|<(?:answer|insert|your)"
    r"|\\(?:boxed|text|frac|mathrm|textbf)\s*\{\s*\})|\\(?:begin|end)\s*\{"
)
EMPTY = r"^(?:<image>|[^!-~])*$"
HOW_MANY = "(?i)(?:^|[^a-z])(?:how many|what number of)"
START = r"(?i)(?:^|[.?!\n>])[^!-~]*"  # of a sentence
POLAR = f"{START}(?:{AUXILIARIES})"
OPEN = f"{START}(?:what|which|who|where|when|why|how)"
# These clear a pair, so they say less than the exact rules accept.
COUNTED = rf"(?i)[0-9]|(?:^|[\s(])(?:{_anyof(NUMBER_WORDS)})(?:$|[\s.,;:)])"
BOOLEAN = rf"(?i)(?:^|[\s(])(?:{_anyof(BOOLEANS | HEDGES)})(?:$|[\s.,;:)])"
BARE = r"(?i)^[^a-z0-9]*(?:yes|no)[^a-z0-9]*$"
CHOSEN = r"(?i)^[^!-~]*(?:the )?(?:answer|option|choice)?(?: is)?[:\s]*\(?[A-H]\)?[.):]?[^!-~]*$"
TALK = (
    rf"(?i)(?:the|this|that) (?:{IMAGE_WORDS})|(?:{IMAGE_WORDS}) (?:above|below|show)|shown (?:above|below|here)"
    "|(?:read|transcribe) the"
)
NTH = r"(?i)(?:second|third|fourth) (?:image|picture|photo)|(?:image|picture) [2-9]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The pairs' texts beside the turns; a missing question is ""."""

    turns: Turns
    answers: pa.StringArray
    questions: pa.StringArray

    @classmethod
    def of(cls, turns: Turns) -> "Columns":
        """Gather the answers and their questions."""
        asked = pa.array(turns.question, mask=turns.question < 0)
        return cls(
            turns=turns,
            answers=turns.texts.take(pa.array(turns.answer)),
            questions=pc.fill_null(turns.texts.take(asked), ""),
        )

    def rows(self, pairs: np.ndarray) -> np.ndarray:
        """Rows that have one of the pairs (indices or mask [A]), bool [R]."""
        return self.turns.has(self.turns.answer[pairs])


def found(texts: pa.StringArray, pattern: str) -> np.ndarray:
    """Which texts an RE2 pattern finds something in."""
    return pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)


def among(texts: pa.StringArray, pattern: str, chosen: np.ndarray) -> np.ndarray:
    """Those of the chosen indices whose text matches."""
    return chosen[found(texts.take(pa.array(chosen)), pattern)] if len(chosen) else chosen


def screens(columns: Columns) -> dict[str, np.ndarray]:
    """For each measure that has a screen, the rows to look at, bool [R]."""
    turns, answers, questions = columns.turns, columns.answers, columns.questions
    signs = np.flatnonzero(found(answers, f"{LEAKS}|{REFUSES}|{RESIDUES}"))
    leaking = np.flatnonzero(found(turns.texts, r"<\||</?img>|IMG_CONTEXT>"))
    empty = np.flatnonzero(found(turns.texts, EMPTY))
    unanswered = np.bincount(turns.row[turns.answer], minlength=turns.rows) == 0
    without = turns.images[turns.row[turns.answer]] == 0 if len(turns.answer) else np.zeros(0, np.bool_)
    beyond = np.concatenate(
        [among(questions, TALK, np.flatnonzero(without)), among(questions, NTH, np.flatnonzero(~without))]
    )
    again = repeated_questions(columns)
    return {
        "empty_turns": turns.has(empty) | unanswered,
        "placeholder_leaks": columns.rows(among(answers, "<image>", signs)) | turns.has(leaking),
        "refusals": columns.rows(among(answers, REFUSES, signs)),
        "template_residues": columns.rows(among(answers, RESIDUES, signs)),
        "unsupported_decimals": columns.rows(np.flatnonzero(found(answers, r"[0-9]\.[0-9]"))),
        "mismatched_turns": columns.rows(_kinds(columns)) | again,
        "repeated_turn_ratio": again,
        "questions_beyond_images": columns.rows(beyond),
    }


def _kinds(columns: Columns) -> np.ndarray:
    """Pairs whose kinds may not fit."""
    answers, questions = columns.answers, columns.questions
    counting = found(questions, HOW_MANY)
    counts = np.flatnonzero(counting)
    uncounted = counts[~found(answers.take(pa.array(counts)), COUNTED)] if len(counts) else counts
    length = pc.utf8_length(answers).to_numpy(zero_copy_only=False)
    short = np.flatnonzero((length <= SHORT_CHARS) & ~counting)
    brief = answers.take(pa.array(short))
    neither = among(questions, POLAR, short[~found(brief, BOOLEAN)])
    bare = among(questions, OPEN, short[found(brief, BARE)])
    return np.concatenate([uncounted, neither, bare, _absent_letters(questions, short, brief)])


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


def repeated_questions(columns: Columns) -> np.ndarray:
    """Rows that may ask the same twice: two of their questions have the same bytes, in any order, blanks apart."""
    turns = columns.turns
    row = turns.row[turns.answer].astype(np.uint64)
    keys = (row << np.uint64(ROW_BITS)) | (_weak_hashes(columns.questions) >> np.uint64(64 - ROW_BITS))
    keys.sort()
    marked = np.zeros(turns.rows, np.bool_)
    marked[(keys[1:][keys[1:] == keys[:-1]] >> np.uint64(ROW_BITS)).astype(np.int64)] = True
    return marked


def _weak_hashes(texts: pa.StringArray) -> np.ndarray:
    """A sum over the bytes: equal for texts that differ in case, blanks and placeholders alone."""
    offsets, data = text_bytes(pc.replace_substring(texts, IMAGE_PLACEHOLDER, " "))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(BYTE_WEIGHTS[data], dtype=np.uint64)])
    return sums[offsets[1:]] - sums[offsets[:-1]]
