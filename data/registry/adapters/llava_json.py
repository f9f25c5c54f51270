"""LLaVA and Eagle JSON or JSONL: objects with `id`, `image` or `images` (a path or a list) and `conversations`.

A turn is `{from: human|gpt, value}` or `{role: user|assistant, content}`; content may be a list of text and image
parts. `<image>` in a question says where an image stands: one, several, or interleaved with text. A row may carry
`split: heldout` and `task`. `messages` is read where `conversations` is missing.

The card's URI is a file (`.json`: an array; `.jsonl`: lines; either with `.gz`), a folder or a pattern of such files.
Options (`LlavaOptions`): `images`, `rows`, `image_mark`, `place_images`, `unique_ids`, `heldout_one_in`.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from pydantic import Field

from data.registry.cards import SourceCard
from data.registry.drawing import Candidate, draw, failing, side
from data.registry.raw.lines import Row, rows_of
from data.registry.raw.pictures import Pictures, PlacedPictures, picture, pictures
from data.registry.raw.places import Place, files_identity, local_path, place_of
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import parse_object
from data.registry.rows import RawRow, options
from data.registry.turns import conversation, marked_images, parse_turns, with_images
from data.schema import Sample
from data.settings.base import Strict
from data.settings.sources import SourceUse

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")


class LlavaOptions(Strict):
    """How a source differs from the plain format."""

    images: str | None = Field(default=None, description="folder or .zip that image paths count from; else the URI's")
    rows: str | None = Field(default=None, description="key of the document under which the array of rows is")
    image_mark: str | None = Field(default=None, min_length=3, description="own mark, as <ImageHere> or <image-{n}>")
    place_images: bool = Field(default=False, description="put images first where a row's text has no mark at all")
    unique_ids: bool = Field(default=False, description="refuse a second row of one id (many sources repeat ids)")
    heldout_one_in: int | None = Field(default=None, ge=2, description="held-out share, by the card's split_key")


def identity(card: SourceCard) -> str:
    """Hash of the files and of every picture that they name, so that a replaced picture is noticed."""
    settings, place = options(LlavaOptions, card), place_of(card)
    names = place.names(SUFFIXES)
    digest = hashlib.sha256(files_identity(place, names).encode())
    if settings.images is not None and settings.images.endswith(".zip"):
        digest.update(place.identity(settings.images).encode())
        return digest.hexdigest()
    found = PlacedPictures(place, settings.images or "")
    for _, row in _rows(place, settings):
        try:
            for name in _image_names(_document(row)):
                digest.update(found.identity(name).encode())
        except (BadRowError, OSError):
            digest.update(b"unreadable")
    return digest.hexdigest()


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """A row for each object of the files, good or bad."""
    settings, place = options(LlavaOptions, card), place_of(card)
    found = pictures(place, settings.images)
    return draw(card, use, seed, lambda: _candidates(card, settings, place, found, seed))


def _rows(place: Place, settings: LlavaOptions) -> Iterator[tuple[str, Row]]:
    for name in place.names(SUFFIXES):
        for row in rows_of(local_path(place, name), settings.rows):
            yield f"{name}:{row.place}", row


def _document(row: Row) -> dict[str, Any]:
    if row.problem is not None:
        raise row.problem
    return parse_object(row.payload)


def _candidates(
    card: SourceCard, settings: LlavaOptions, place: Place, found: Pictures, seed: int
) -> Iterator[Candidate]:
    """A row that can't be parsed counts as training, where the ledger sees it."""
    for key, row in _rows(place, settings):
        unique, repeated = hashlib.sha256(row.payload).hexdigest(), "duplicate_row"
        try:
            document = _document(row)
        except BadRowError as problem:
            yield Candidate(key=key, unique=unique + key, split="train", make=failing(problem))
            continue
        if settings.unique_ids and "id" in document:
            unique, repeated = f"id {document['id']!r}", "duplicate_id"
        by = document.get(card.split_key, document.get("id", key))
        split = side(card, seed, settings.heldout_one_in, by, document.get("split"))
        make = partial(_sample, card, settings, found, key, document)
        yield Candidate(key=key, unique=unique, split=split, make=make, repeated=repeated)


def _image_names(document: dict[str, Any]) -> list[str]:
    names = document.get("image") or document.get("images") or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise BadRowError("invalid_row", "`image` must be a path or a list of paths")
    return names


def _sample(card: SourceCard, settings: LlavaOptions, found: Pictures, key: str, document: dict[str, Any]) -> Sample:
    turns = parse_turns(document.get("conversations", document.get("messages")))
    names = _image_names(document)
    if settings.image_mark is not None:
        turns, order = marked_images(turns, settings.image_mark, len(names))
        names = [names[index] for index in order] or names
    if settings.place_images:
        turns = with_images(turns, len(names))
    images = [picture(found.read(name), name) for name in names]
    number = key.rpartition(":")[2]
    return conversation(card, str(document.get("id", number)), turns, images, str(document.get("task", "open")))
