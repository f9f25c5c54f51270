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

import fnmatch
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow.parquet as pq
from pydantic import Field

from data.errors import AerieError
from data.registry.cards import SourceCard
from data.registry.drawing import Candidate, draw, failing, side
from data.registry.raw.parquet import GroupRows, cells, open_parquet, weigh
from data.registry.raw.pictures import Pictures, picture, pictures
from data.registry.raw.places import files_identity, local_path, place_of
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import parse_json
from data.registry.rows import RawRow, options
from data.registry.turns import choice_pair, conversation, pair_turns, parse_turns, user_and_assistant, with_images
from data.schema import ImageRef, Sample, Turn
from data.settings.base import Strict
from data.settings.sources import SourceUse

SUFFIXES = (".parquet",)
IMAGE_COLUMNS = ("images", "image")
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
    found = pictures(place, settings.images)

    def scan() -> Iterator[Candidate]:
        for number, name in enumerate(place.names(SUFFIXES)):
            try:
                file = open_parquet(local_path(place, name))
                columns = _columns(file, settings)
            except BadRowError as problem:
                yield Candidate(key=name, unique=name, split="train", make=failing(problem))
                continue
            except AerieError as error:
                if number == 0:  # the card is wrong, not the data
                    raise
                make = failing(BadRowError("missing_column", str(error)))
                yield Candidate(key=name, unique=name, split="train", make=make)
                continue
            with file:
                yield from _file(card, settings, found, seed, name, file, columns)

    return draw(card, use, seed, scan)


def _columns(file: pq.ParquetFile, settings: ParquetOptions) -> list[str]:
    """The columns that samples are made of; `AerieError` lists what the file has when texts are missing."""
    there = file.schema_arrow.names
    text = next(([name] for name in TEXT_COLUMNS if name in there), [settings.question, settings.answer])
    text += [settings.choices] if settings.choices is not None else []
    if missing := [name for name in [*text, *settings.keep] if name not in there]:
        raise AerieError(
            f"no column {missing} among {there}; needed are {' or '.join(TEXT_COLUMNS)}, or a question and an answer "
            "column: name them in the card's options"
        )
    return [*text, *settings.keep, *(name for name in IMAGE_COLUMNS[:2] if name in there)]


def _file(
    card: SourceCard,
    settings: ParquetOptions,
    found: Pictures,
    seed: int,
    name: str,
    file: pq.ParquetFile,
    columns: list[str],
) -> Iterator[Candidate]:
    there, first = file.schema_arrow.names, 0
    by = card.split_key if settings.heldout_one_in is not None else ""
    by_image = by in IMAGE_COLUMNS and by in there
    narrow = sorted({entry for entry in (settings.id or "", "split", by) if entry in there})
    explicit = "heldout" if fnmatch.fnmatchcase(name, settings.heldout_files or "") else None
    for group in range(file.metadata.num_row_groups):
        claimed = max(0, file.metadata.row_group(group).num_rows)
        try:
            count, rows = weigh(file, group), GroupRows(file, group, columns)
            keys = cells(file, group, narrow) if narrow else ({} for _ in range(count))
            for index, cell in enumerate(keys):
                key = f"{name}:{first + index}"
                value = _content_hash(cell.get(by)) if by_image else cell.get(by, key)
                split = side(card, seed, settings.heldout_one_in, value, cell.get("split") or explicit)
                unique = f"id {cell[settings.id]!r}" if settings.id else key
                make = partial(_sample, card, settings, found, key, rows, index)
                yield Candidate(key=key, unique=unique, split=split, make=make, repeated="duplicate_id")
        except BadRowError as problem:
            key = f"{name}:{first}-{first + claimed}"
            yield Candidate(key=key, unique=key, split="train", make=failing(problem))
        first += claimed


def _content_hash(value: Any) -> str:
    value = value[0] if isinstance(value, list) and value else value
    value = value.get("bytes") or value.get("path") if isinstance(value, dict) else value
    return hashlib.sha256(value if isinstance(value, bytes) else str(value).encode()).hexdigest()


def _sample(
    card: SourceCard, settings: ParquetOptions, found: Pictures, key: str, rows: GroupRows, index: int
) -> Sample:
    row = rows.row(index)
    cell = next((row[name] for name in IMAGE_COLUMNS if row.get(name) is not None), None)
    images = [
        _image(entry, found, f"{key}#{number}")
        for number, entry in enumerate(cell if isinstance(cell, list) else [cell])
        if entry is not None
    ]
    turns = with_images(_turns(settings, row), len(images))
    kept = {name: row[name] for name in settings.keep}
    try:
        json.dumps(kept, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadRowError("invalid_row", f"a column of `keep` holds no plain value: {error}") from None
    return conversation(card, key, turns, images, settings.task, **({"columns": kept} if kept else {}))


def _image(cell: Any, found: Pictures, name: str) -> ImageRef:
    if isinstance(cell, dict):
        cell, name = (cell.get("bytes"), name) if cell.get("bytes") is not None else (cell.get("path"), name)
    if isinstance(cell, bytes):
        return picture(cell, name)
    if isinstance(cell, str) and cell:
        return picture(found.read(cell), cell)
    raise BadRowError("missing_file", f"image {name!r} has neither bytes nor a path")


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
