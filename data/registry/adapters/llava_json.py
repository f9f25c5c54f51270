"""LLaVA and Eagle JSON or JSONL: objects with `id`, `image` or `images` (a path or a list) and `conversations`.

A turn is `{from: human|gpt, value}` or `{role: user|assistant, content}`; content may be a list of text and image
parts. `<image>` in a question says where an image stands: one, several, or interleaved with text. A row may carry
`split: heldout` and `task`. `messages` is read where `conversations` is missing.

The card's URI is a file (`.json`: an array; `.jsonl`: lines; either with `.gz`), a folder or a pattern of such files.
Options (`LlavaOptions`): `images`, `rows`, `image_mark`, `place_images`, `unique_ids`, `heldout_one_in`.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from pydantic import Field

from data.registry.cards import SourceCard
from data.registry.documents import SUFFIXES, document_candidates, documents_identity, image_names, row_key
from data.registry.drawing import draw
from data.registry.raw.pictures import Pictures, picture, pictures
from data.registry.raw.places import place_of
from data.registry.rows import RawRow, options
from data.registry.turns import conversation, marked_images, parse_turns, with_images
from data.schema import Sample
from data.settings.base import Strict
from data.settings.sources import SourceUse

__all__ = ["SUFFIXES", "identity", "read"]


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
    settings = options(LlavaOptions, card)
    return documents_identity(place_of(card), settings.images, settings.rows)


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """A row for each object of the files, good or bad."""
    settings, place = options(LlavaOptions, card), place_of(card)
    make = partial(_sample, card, settings, pictures(place, settings.images))
    scan = partial(document_candidates, card, place, seed, settings.rows, settings.heldout_one_in, settings.unique_ids)
    return draw(card, use, seed, partial(scan, make))


def _sample(card: SourceCard, settings: LlavaOptions, found: Pictures, key: str, document: dict[str, Any]) -> Sample:
    turns = parse_turns(document.get("conversations", document.get("messages")))
    names = image_names(document)
    if settings.image_mark is not None:
        turns, order = marked_images(turns, settings.image_mark, len(names))
        names = [names[index] for index in order] or names
    if settings.place_images:
        turns = with_images(turns, len(names))
    images = [picture(found.read(name), name) for name in names]
    return conversation(card, row_key(key, document), turns, images, str(document.get("task", "open")))
