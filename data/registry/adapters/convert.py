"""Data that are no questions, made into questions by rules: JSON(L) objects or Parquet rows with `image` and any of

- `label` or `labels`: what is shown; with `vocabulary` also yes/no and multiple choice;
- `caption` or `captions`: a description is asked for;
- `text`: what is written in the image, to be read;
- `boxes`: `[{label, box, iscrowd?}]`: where, how many, what is in a region;
- `landmarks`: `{name: [x, y] or null}` or `[{name, point}]`: where;
- `table`: `{columns, rows}` or a list of objects: look-ups and computed answers. Without an image the table itself
  stands in the question.

See `data.registry.conversions` for the rules and for the form of coordinates. An object becomes one conversation of at
most `questions` pairs, drawn by seeded hash; wordings vary, chosen the same way. An object that no rule can ask about
is rejected. The card's URI, splits and ids are those of `llava_json`; where it means `.parquet` files, those of
`hf_parquet`. There `fields` says which column is what, and a label may be the number of a class whose name stands in
the file's Hugging Face metadata. Options: `ConvertOptions`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, get_args

import pyarrow.parquet as pq
from pydantic import Field

from data.errors import AerieError
from data.registry.cards import SourceCard
from data.registry.conversions import VERSION, Asking, BoxFormat, Pair, boxes, captions, labels, landmarks, texts
from data.registry.conversions_tables import markdown, tables
from data.registry.documents import SUFFIXES as DOCUMENTS
from data.registry.documents import document_candidates, documents_identity, image_names, row_key
from data.registry.drawing import draw
from data.registry.parquet_rows import Reading, parquet_candidates, row_images
from data.registry.raw.pictures import Pictures, picture, pictures
from data.registry.raw.places import Place, files_identity, place_of
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import clean
from data.registry.rows import RawRow, options, question_sample
from data.schema import ImageRef, Sample
from data.settings.base import Strict
from data.settings.sources import SourceUse

SUFFIXES = (*DOCUMENTS, ".parquet")

Rule = Literal["labels", "captions", "texts", "boxes", "landmarks", "tables"]
Meaning = Literal[
    "image", "label", "labels", "caption", "captions", "text", "boxes", "landmarks", "table"
]  # of a field: what the rules look for
MEANINGS: tuple[Meaning, ...] = get_args(Meaning)
RULES: dict[Rule, Callable[[dict[str, Any], Asking], list[Pair]]] = {
    "labels": labels,
    "captions": captions,
    "texts": texts,
    "boxes": boxes,
    "landmarks": landmarks,
    "tables": tables,
}


class ConvertOptions(Strict):
    """What the objects don't say."""

    images: str | None = Field(default=None, description="folder or .zip that image paths count from; else the URI's")
    rows: str | None = Field(default=None, description="key of the document under which the array of objects is")
    fields: dict[Meaning, str] = Field(default_factory=dict, description="columns of Parquet files by what they are")
    id: str | None = Field(default=None, description="column that names a Parquet row once in the whole source")
    heldout_files: str | None = Field(default=None, description="pattern of Parquet files, as *test-*.parquet")
    rules: tuple[Rule, ...] = Field(default=tuple(RULES), min_length=1, description="which rules may ask")
    questions: int = Field(default=4, ge=1, le=50, description="the most pairs of one object")
    kind: str | None = Field(default=None, min_length=1, description="what labels are, as `bird`")
    vocabulary: tuple[str, ...] = Field(default=(), description="all labels, where each object has all that apply")
    box_format: BoxFormat = Field(default="xyxy", description="pixels as corners or corner and size; or 0-1; or 0-1000")
    unique_ids: bool = Field(default=False, description="refuse a second object of one id")
    heldout_one_in: int | None = Field(default=None, ge=2, description="held-out share, by the card's split_key")


def identity(card: SourceCard) -> str:
    """Hash of the files, of the pictures and of the rules."""
    settings, place = options(ConvertOptions, card), place_of(card)
    if names := _parquet(place):
        return f"{files_identity(place, names)} rules {VERSION}"
    return f"{documents_identity(place, settings.images, settings.rows)} rules {VERSION}"


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """A row for each object of the files, good or bad."""
    settings, place = options(ConvertOptions, card), place_of(card)
    found = pictures(place, settings.images)
    if _parquet(place):
        reading = Reading(
            columns=lambda file: _columns(file, settings),
            make=partial(_from_row, card, settings, seed, found),
            id=settings.id,
            heldout_files=settings.heldout_files,
            heldout_one_in=settings.heldout_one_in,
        )
        return draw(card, use, seed, partial(parquet_candidates, card, place, seed, reading))
    make = partial(_from_document, card, settings, seed, found)
    scan = partial(document_candidates, card, place, seed, settings.rows, settings.heldout_one_in, settings.unique_ids)
    return draw(card, use, seed, partial(scan, make))


def _parquet(place: Place) -> list[str]:
    """The Parquet files of a place; a place that has some is read for them alone."""
    return [name for name in place.names(SUFFIXES) if name.lower().endswith(".parquet")]


def _columns(file: pq.ParquetFile, settings: ConvertOptions) -> list[str]:
    """The columns that mean something; `AerieError` lists what the file has when there is nothing to ask about."""
    there = file.schema_arrow.names
    meant = [settings.fields.get(field, field) for field in MEANINGS]
    missing = [name for name in [*settings.fields.values(), *filter(None, [settings.id])] if name not in there]
    found = list(dict.fromkeys(name for name in meant if name in there))
    if missing or not set(found) - {settings.fields.get("image", "image")}:
        raise AerieError(f"no column {missing or MEANINGS[1:]} among {there}; name them in the card's `fields`")
    return found


def _from_row(
    card: SourceCard,
    settings: ConvertOptions,
    seed: int,
    found: Pictures,
    key: str,
    row: dict[str, Any],
    classes: dict[str, list[str]],
) -> Sample:
    document: dict[str, Any] = {}
    for field in MEANINGS:
        column = settings.fields.get(field, field)
        if row.get(column) is not None:
            document[field] = _named(row[column], classes.get(column, []))
    images = row_images(document.pop("image", None), found, key)
    return _sample(card, settings, seed, key, images, document)


def _named(value: Any, names: list[str]) -> Any:
    """A class's name for its number; anything else as it is."""
    if type(value) is int and names:
        if not 0 <= value < len(names):
            raise BadRowError("invalid_row", f"class {value}, there are {len(names)}")
        return names[value]
    return value


def _from_document(
    card: SourceCard, settings: ConvertOptions, seed: int, found: Pictures, place: str, document: dict[str, Any]
) -> Sample:
    names = image_names(document)
    images = [picture(found.read(name), name) for name in names[:2]]
    return _sample(card, settings, seed, row_key(place, document), images, document)


def _sample(
    card: SourceCard,
    settings: ConvertOptions,
    seed: int,
    key: str,
    images: list[ImageRef],
    document: dict[str, Any],
) -> Sample:
    if len(images) > 1:
        raise BadRowError("invalid_row", "several images: the rules ask about one")
    key, image = clean(key, "the id"), images[0] if images else None
    asking = Asking(
        seed=seed,
        source=card.name,
        key=key,
        width=image.width if image is not None else 0,
        height=image.height if image is not None else 0,
        kind=settings.kind,
        vocabulary=settings.vocabulary,
        box_format=settings.box_format,
    )
    pairs = _pairs(settings, document, asking)
    if image is None:
        if document.get("table") is None:
            raise BadRowError("missing_file", "no image to ask about")
        question, answer, task = pairs[0]
        pairs = [(f"{markdown(document['table'])}\n\n{question}", answer, task), *pairs[1:]]
    return question_sample(card, image, pairs, {"key": key, "converted": {"rules": VERSION}})


def _pairs(settings: ConvertOptions, document: dict[str, Any], asking: Asking) -> list[Pair]:
    """The pairs that are drawn, of all that the rules give, in the rules' order."""
    found: dict[str, Pair] = {}
    for name in settings.rules:
        for question, answer, task in RULES[name](document, asking):
            found.setdefault(question, (clean(question, "a question"), clean(answer, "an answer"), task))
    if not found:
        raise BadRowError("nothing_to_ask", f"no rule of {list(settings.rules)} finds a question in {list(document)}")
    drawn = sorted(found, key=lambda question: asking.rank("drawn", question))[: settings.questions]
    return [found[question] for question in found if question in set(drawn)]
