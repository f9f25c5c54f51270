"""Image-text Parquet as the Hugging Face Hub keeps it, read by row groups.

Images: column `images` (a list) or `image`, each `{bytes, path}`, bytes, or a path. Text, the first of these that is
there: `texts`, a list of `{user, assistant}` (FineVision); `messages` or `conversations`, a list of `{role, content}`
or `{from, value}`, or that list as JSON text; or a question and an answer column. A text that places no image gets all
of them before its first question.

Held out: rows whose column `split` says so, files that match `heldout_files`, or a share by the card's `split_key` (a
column; `image` splits by the first picture's content). A row is known by `id` where that column is given, else by its
file and index. Options (`ParquetOptions`): `question`, `answer`, `choices`, `id`, `task`, `keep`, `images`,
`heldout_files`, `heldout_one_in`.
"""

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow.parquet as pq
from pydantic import Field

from data.errors import AerieError
from data.registry.cards import SourceCard
from data.registry.drawing import draw
from data.registry.parquet_rows import IMAGE_COLUMNS, SUFFIXES, Classes, Reading, Row, parquet_candidates, row_images
from data.registry.raw.pictures import Pictures, pictures
from data.registry.raw.places import files_identity, place_of
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import parse_json
from data.registry.rows import RawRow, options
from data.registry.turns import choice_pair, conversation, pair_turns, parse_turns, user_and_assistant, with_images
from data.schema import Sample, Turn
from data.settings.base import Strict
from data.settings.sources import SourceUse

__all__ = ["SUFFIXES", "identity", "read"]
TEXT_COLUMNS = ("texts", "messages", "conversations")


class ParquetOptions(Strict):
    """Which columns mean what, beyond those that are known by name."""

    question: str = Field(default="question", description="column, where there is no column of whole conversations")
    answer: str = Field(default="answer", description="column: text, a list (the commonest counts), or an option")
    choices: str | None = Field(default=None, description="column with a list of options; the answer is one of them")
    id: str | None = Field(default=None, description="column that names a row once in the whole source")
    task: str = Field(default="open", min_length=1, description="the task of all pairs")
    keep: tuple[str, ...] = Field(default=(), description="plain columns that go into `meta.columns`")
    images: str | None = Field(default=None, description="folder or .zip of pictures that cells only name")
    heldout_files: str | None = Field(default=None, description="pattern of file names, as *test-*.parquet")
    heldout_one_in: int | None = Field(default=None, ge=2, description="held-out share, by the card's split_key")


def identity(card: SourceCard) -> str:
    """Hash of the files. Pictures that cells only name are not in it: raise the card's `version` with them."""
    place = place_of(card)
    return files_identity(place, place.names(SUFFIXES))


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """A row for each row of the files; a file or row group that can't be read at all is one rejected row."""
    settings, place = options(ParquetOptions, card), place_of(card)
    reading = Reading(
        columns=lambda file: _columns(file, settings),
        make=partial(_sample, card, settings, pictures(place, settings.images)),
        id=settings.id,
        heldout_files=settings.heldout_files,
        heldout_one_in=settings.heldout_one_in,
    )
    return draw(card, use, seed, partial(parquet_candidates, card, place, seed, reading))


def _columns(file: pq.ParquetFile, settings: ParquetOptions) -> list[str]:
    """The columns that samples are made of; `AerieError` lists what the file has when texts are missing."""
    there = file.schema_arrow.names
    text = next(([name] for name in TEXT_COLUMNS if name in there), [settings.question, settings.answer])
    text += [settings.choices] if settings.choices is not None else []
    if missing := [name for name in [*text, *settings.keep, *filter(None, [settings.id])] if name not in there]:
        raise AerieError(
            f"no column {missing} among {there}; needed are {' or '.join(TEXT_COLUMNS)}, or a question and an answer "
            "column: name them in the card's options"
        )
    return [*text, *settings.keep, *(name for name in IMAGE_COLUMNS if name in there)]


def _sample(card: SourceCard, settings: ParquetOptions, found: Pictures, key: str, row: Row, _: Classes) -> Sample:
    images = row_images(next((row[name] for name in IMAGE_COLUMNS if row.get(name) is not None), None), found, key)
    turns = with_images(_turns(settings, row), len(images))
    kept = {name: row[name] for name in settings.keep}
    try:
        json.dumps(kept, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadRowError("invalid_row", f"a column of `keep` holds no plain value: {error}") from None
    return conversation(card, key, turns, images, settings.task, **({"columns": kept} if kept else {}))


def _turns(settings: ParquetOptions, row: dict[str, Any]) -> tuple[Turn, ...]:
    if row.get("texts") is not None:
        return pair_turns([user_and_assistant(entry) for entry in _listed(row["texts"])])
    for name in TEXT_COLUMNS[1:]:
        if row.get(name) is not None:
            value = row[name]
            return parse_turns(parse_json(value.encode()) if isinstance(value, str) else value)
    question, answer = row.get(settings.question), row.get(settings.answer)
    if isinstance(answer, list) and answer:
        texts = [entry.get("answer") if isinstance(entry, dict) else entry for entry in answer]
        answer = Counter(map(str, texts)).most_common(1)[0][0]
    if not isinstance(question, str) or not isinstance(answer, str | int | float):
        raise BadRowError("invalid_row", f"question {question!r}, answer {answer!r}")
    if settings.choices is not None:
        cell = row[settings.choices]
        choices = [str(choice) for choice in _listed(cell.get("text") if isinstance(cell, dict) else cell)]
        question, answer = choice_pair(question, choices, answer if isinstance(answer, int) else str(answer))
    return pair_turns([(question, str(answer))])


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BadRowError("invalid_row", f"expected a list, found {type(value).__name__}")
    return value
