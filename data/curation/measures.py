"""The measures: numbers about a sample's conversation, without a judgement. Thresholds decide later (decisions.py).

This is the exact definition, sample by sample; `measuring.py` computes the same for whole shards and calls it only
for the rows that a cheap look at the columns can't clear.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from data.curation.rules_images import questions_beyond
from data.curation.rules_language import language_mismatches
from data.curation.rules_leaks import leaks, refusals, residues
from data.curation.rules_markup import markup_errors
from data.curation.rules_mismatch import mismatches
from data.curation.rules_numbers import unsupported_decimals
from data.curation.rules_repetition import loop_share, of_answers, repeated_lines, repeated_ngrams, repeated_turns
from data.curation.rules_turns import empty_turns, order_errors
from data.curation.talk import Talk
from data.schema import Sample

VERSION = 3
DETAIL_CHARS = 160
Finding = tuple[float, str]  # the value, and in words what was found first ("" where nothing was)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One column: its exact definition, and how it is stored (a share from 0 to 1, else a count)."""

    exact: Callable[[Talk], Finding]
    share: bool = False
    meaning: str


def _counted(find: Callable[[Talk], list[str]], talk: Talk) -> Finding:
    found = find(talk)
    return len(found), found[0] if found else ""


def _answer_chars(talk: Talk) -> Finding:
    return sum(map(len, talk.answers)), ""


def _max_turn_chars(talk: Talk) -> Finding:
    return max(map(len, talk.texts), default=0), ""


MEASURES: dict[str, Measure] = {
    "order_errors": Measure(exact=partial(_counted, order_errors), meaning="turns out of order"),
    "empty_turns": Measure(exact=partial(_counted, empty_turns), meaning="turns without text; a missing answer"),
    "placeholder_leaks": Measure(
        exact=partial(_counted, leaks), meaning="`<image>` in an answer, control tokens anywhere"
    ),
    "refusals": Measure(exact=partial(_counted, refusals), meaning="answers that refuse"),
    "template_residues": Measure(exact=partial(_counted, residues), meaning="answers with open slots or blocks"),
    "answer_chars": Measure(exact=_answer_chars, meaning="characters of all answers"),
    "max_turn_chars": Measure(exact=_max_turn_chars, meaning="characters of the longest turn, any role"),
    "repeated_ngram_ratio": Measure(
        exact=partial(of_answers, repeated_ngrams), share=True, meaning="n-grams that stood before, worst answer"
    ),
    "loop_share": Measure(
        exact=partial(of_answers, loop_share), share=True, meaning="words in the longest loop, worst answer"
    ),
    "repeated_line_ratio": Measure(
        exact=partial(of_answers, repeated_lines), share=True, meaning="lines that stood before, worst answer"
    ),
    "repeated_turn_ratio": Measure(exact=repeated_turns, share=True, meaning="pairs that repeat an earlier pair"),
    "unsupported_decimals": Measure(exact=unsupported_decimals, meaning="decimals beyond what the sample supports"),
    "mismatched_turns": Measure(
        exact=partial(_counted, mismatches), meaning="answers of the wrong kind, or contradicting an earlier one"
    ),
    "language_mismatches": Measure(
        exact=partial(_counted, language_mismatches), meaning="answers in another language than their question"
    ),
    "markup_errors": Measure(exact=partial(_counted, markup_errors), meaning="answers with broken markup"),
    "questions_beyond_images": Measure(
        exact=partial(_counted, questions_beyond), meaning="questions about images that the sample doesn't have"
    ),
}


MEANINGS = {name: one.meaning for name, one in MEASURES.items()} | {
    "relevance": "agreement of the question with those of similar images (or its cosine to the image)",
    "text_strokes": "cells that look like text, where the question asks for text",
}


def measure(sample: Sample) -> dict[str, float]:
    """All measures of one sample; pure."""
    talk = Talk.of(sample)
    return {name: one.exact(talk)[0] for name, one in MEASURES.items()}


def explain(talk: Talk, name: str, value: float) -> str:
    """What a measure found, in words where it has them, else its value."""
    detail = MEASURES[name].exact(talk)[1] if name in MEASURES else ""
    return detail[:DETAIL_CHARS] or f"{name} = {value:.4g}"
