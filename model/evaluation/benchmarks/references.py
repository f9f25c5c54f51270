"""Cells as reference answers and options: lists in one cell, letters, numbers and texts of options."""

import ast
import json
from typing import Any

from data.registry.adapters.vlmevalkit_tsv import LETTERS
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import clean
from model.evaluation.benchmarks.records import MISSING, Row
from model.evaluation.benchmarks.wording import Options

LIST_CHARACTERS = 100_000  # a longer cell is no list of answers; the parser of literals is recursive


def options_of(row: Row) -> Options:
    """The row's (letter, text), in order; () without any. Empty letters are left out, as VLMEvalKit leaves out NaN."""
    column = row.layout.options
    if column is None:
        return ()
    if column == "letters":
        found = [(letter, row.text(letter)) for letter in LETTERS if letter in row.cells]
        return tuple((letter, clean(text)) for letter, text in found if text)
    listed = listed_texts(row.cells.get(column)) or []
    if len(listed) > len(LETTERS):
        raise BadRowError("invalid_row", f"{len(listed)} options, {len(LETTERS)} are the most")
    return tuple(zip(LETTERS, listed, strict=False))


def references(row: Row, options: Options) -> tuple[str, ...]:
    """The row's reference answers, at least one; with options the right one's letter.

    Raises `BadRowError` on an empty cell, on text where a list must be, and on an answer that is no option.
    """
    layout, cell = row.layout, row.cells.get(row.layout.answer)
    listed = None if layout.answers == "text" and not isinstance(cell, list) else listed_texts(cell)
    if layout.answers == "list" and listed is None:
        raise BadRowError("invalid_row", f"expected a list of answers, found {str(cell)[:60]!r}")
    answers = listed if listed is not None else [clean(row.text(layout.answer))]
    answers = [answer for answer in answers if answer.strip().lower() not in MISSING] if listed is None else answers
    if not answers:
        raise BadRowError("empty_answer", "the cell is empty or NaN; of some benchmarks the test answers aren't public")
    if layout.answer_words:
        if unknown := [answer for answer in answers if answer not in layout.answer_words]:
            raise BadRowError("invalid_row", f"answer {unknown[0]!r} is none of {list(layout.answer_words)}")
        answers = [layout.answer_words[answer] for answer in answers]
    if not options:
        return tuple(answers)
    return (_chosen(answers[0], options, layout.answer_is),)


def _chosen(answer: str, options: Options, answer_is: str) -> str:
    letters, texts = [letter for letter, _ in options], [text for _, text in options]
    if answer_is == "text":
        if answer in texts:
            return letters[texts.index(answer)]
    elif answer_is == "index":
        if answer.isdigit() and int(answer) < len(options):
            return letters[int(answer)]
    elif (letter := answer.strip("(). ").upper()) in letters:
        return letter
    raise BadRowError("answer_not_an_option", f"answer {answer!r} is no {answer_is} of an option; there are {letters}")


def listed_texts(cell: Any) -> list[str] | None:
    """The texts of a list: a Parquet list, or a cell that reads as a Python or JSON list; None for anything else."""
    value = _literal(cell) if isinstance(cell, str) else cell
    if not isinstance(value, list):
        return None
    if not all(isinstance(entry, str | int | float) for entry in value):
        raise BadRowError("invalid_row", "a list of other things than texts and numbers")
    return [clean(str(entry).strip()) for entry in value]


def _literal(text: str) -> Any:
    text = text.strip()
    if not text.startswith("[") or not text.endswith("]") or len(text) > LIST_CHARACTERS:
        return None
    for parse in (ast.literal_eval, json.loads):
        try:
            return parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None
