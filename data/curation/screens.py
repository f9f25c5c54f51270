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
from data.curation.rules_images import IMAGE_WORDS
from data.curation.rules_leaks import PLAIN_SLOTS
from data.curation.rules_numbers import DEFAULT_DECIMALS, FACTS
from data.curation.screens_markup import broken_markup
from data.curation.screens_pairs import among, found, other_kinds, other_languages
from data.curation.turns import Turns
from data.schema import IMAGE_PLACEHOLDER

ROW_BITS = 40
# A weight for each byte: none for blanks, the same for both cases, and for bytes beyond ASCII up to where
# the scripts without case begin.
BYTE_WEIGHTS = np.random.default_rng(2).integers(0, 1 << 63, 256, np.uint64) * np.uint64(2)
BYTE_WEIGHTS[[ord(char) for char in string.whitespace]] = 0
BYTE_WEIGHTS[ord("A") : ord("Z") + 1] = BYTE_WEIGHTS[ord("a") : ord("z") + 1]
BYTE_WEIGHTS[0x80:0xE4] = BYTE_WEIGHTS[0x80]


REFUSES = (
    "(?i:as an ai|i(?:['’]m| am) (?:[^ ]+ )?(?:sorry|afraid|unable|not able)|i (?:do not|don['’]t) have"
    "|i (?:must|have to) dec"
    "|i (?:will not|won['’]t) be able|against my|i (?:can ?not|can['’]t|could not|couldn['’]t) |no image (?:was|is|has)"
    "|(?:provide|upload|share|attach|send) (?:me )?(?:the|an?|your) (?:image|picture|photo))"
)
CONTROL = (
    r"<\||</?img>|IMG_CONTEXT>|INST\]|SYS>>|<(?:unk|pad|bos|eos|mask)>|\[(?:SEP|CLS|PAD|UNK)\]|</?s>|<image[_ ]?[0-9]"
    r"|(?:Human|Assistant|Instruction|Response|User|USER|ASSISTANT):"
)
RESIDUES = rf"(?i:{PLAIN_SLOTS}|\{{\{{|TODO|\[(?:insert|your|fill)|<(?:answer|insert|your))|\\(?:begin|end)\s*\{{"
EMPTY = r"^(?:<image>|[^!-~]|[._*#~-])*$"
TALK = (
    rf"(?i)(?:the|this|that|given|attached|provided|following) (?:{IMAGE_WORDS})"
    rf"|(?:{IMAGE_WORDS}) (?:above|below|show)|shown (?:above|below|here)"
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


def screens(columns: Columns) -> dict[str, np.ndarray]:
    """For each measure that has a screen, the rows to look at, bool [R]."""
    turns, answers, questions = columns.turns, columns.answers, columns.questions
    signs = np.flatnonzero(found(answers, f"<image>|{REFUSES}|{RESIDUES}"))
    control = np.flatnonzero(found(turns.texts, CONTROL))
    empty = np.flatnonzero(found(turns.texts, EMPTY))
    unanswered = np.bincount(turns.row[turns.answer], minlength=turns.rows) == 0
    without = turns.images[turns.row[turns.answer]] == 0 if len(turns.answer) else np.zeros(0, np.bool_)
    beyond = [among(questions, TALK, np.flatnonzero(without)), among(questions, NTH, np.flatnonzero(~without))]
    again = repeated_questions(columns)
    return {
        "empty_turns": turns.has(empty) | unanswered,
        "placeholder_leaks": columns.rows(among(answers, "<image>", signs)) | turns.has(control),
        "refusals": columns.rows(among(answers, REFUSES, signs)),
        "template_residues": columns.rows(among(answers, RESIDUES, signs)),
        "markup_errors": columns.rows(broken_markup(answers)),
        "unsupported_decimals": _decimals(columns),
        "mismatched_turns": columns.rows(other_kinds(questions, answers)) | again,
        "language_mismatches": columns.rows(other_languages(questions, answers)),
        "repeated_turn_ratio": again,
        "questions_beyond_images": columns.rows(np.concatenate(beyond)),
    }


def _decimals(columns: Columns) -> np.ndarray:
    """Rows with decimals in an answer: more than pictures commonly print, or any where the sample knows better."""
    turns = columns.turns
    pairs = np.flatnonzero(found(columns.answers, r"[0-9]\.[0-9]"))
    many = among(columns.answers, rf"[0-9]\.[0-9]{{{DEFAULT_DECIMALS + 1}}}", pairs)
    rows = np.unique(turns.row[turns.answer[pairs]])
    marked = columns.rows(many)
    marked[among(turns.meta, f'"(?:precision|{"|".join(FACTS)})"', rows)] = True
    return marked


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
