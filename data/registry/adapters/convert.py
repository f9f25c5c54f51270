"""Data that are no questions, made into questions by rules: JSON or JSONL objects with `id`, `image` and any of

- `label` or `labels`: what is shown; with `vocabulary` also yes/no and multiple choice;
- `caption` or `captions`: a description is asked for;
- `boxes`: `[{label, box, iscrowd?}]`: where, how many, what is in a region;
- `landmarks`: `{name: [x, y] or null}` or `[{name, point}]`: where;
- `table`: `{columns, rows}` or a list of objects: look-ups and computed answers. Without an image the table itself
  stands in the question.

See `data.registry.conversions` for the rules and for the form of coordinates. An object becomes one conversation of at
most `questions` pairs, drawn by seeded hash; wordings vary, chosen the same way. An object that no rule can ask about
is rejected. The card's URI, splits and ids are those of `llava_json`. Options: `ConvertOptions`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

from pydantic import Field

from data.registry.cards import SourceCard
from data.registry.conversions import VERSION, Asking, BoxFormat, Pair, boxes, captions, labels, landmarks
from data.registry.conversions_tables import markdown, tables
from data.registry.documents import SUFFIXES, document_candidates, documents_identity, image_names, row_key
from data.registry.drawing import draw
from data.registry.raw.pictures import Pictures, picture, pictures
from data.registry.raw.places import place_of
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import clean
from data.registry.rows import RawRow, options, question_sample
from data.schema import Sample
from data.settings.base import Strict
from data.settings.sources import SourceUse

__all__ = ["SUFFIXES", "identity", "read"]

Rule = Literal["labels", "captions", "boxes", "landmarks", "tables"]
RULES: dict[Rule, Callable[[dict[str, Any], Asking], list[Pair]]] = {
    "labels": labels,
    "captions": captions,
    "boxes": boxes,
    "landmarks": landmarks,
    "tables": tables,
}


class ConvertOptions(Strict):
    """What the objects don't say."""

    images: str | None = Field(default=None, description="folder or .zip that image paths count from; else the URI's")
    rows: str | None = Field(default=None, description="key of the document under which the array of objects is")
    rules: tuple[Rule, ...] = Field(default=tuple(RULES), min_length=1, description="which rules may ask")
    questions: int = Field(default=4, ge=1, le=50, description="the most pairs of one object")
    kind: str | None = Field(default=None, min_length=1, description="what labels are, as `bird`")
    vocabulary: tuple[str, ...] = Field(default=(), description="all labels, where each object has all that apply")
    box_format: BoxFormat = Field(default="xyxy", description="pixels as corners or corner and size; or 0-1; or 0-1000")
    unique_ids: bool = Field(default=False, description="refuse a second object of one id")
    heldout_one_in: int | None = Field(default=None, ge=2, description="held-out share, by the card's split_key")


def identity(card: SourceCard) -> str:
    """Hash of the files, of the pictures and of the rules."""
    settings = options(ConvertOptions, card)
    return f"{documents_identity(place_of(card), settings.images, settings.rows)} rules {VERSION}"


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """A row for each object of the files, good or bad."""
    settings, place = options(ConvertOptions, card), place_of(card)
    make = partial(_sample, card, settings, seed, pictures(place, settings.images))
    scan = partial(document_candidates, card, place, seed, settings.rows, settings.heldout_one_in, settings.unique_ids)
    return draw(card, use, seed, partial(scan, make))


def _sample(
    card: SourceCard, settings: ConvertOptions, seed: int, found: Pictures, place: str, document: dict[str, Any]
) -> Sample:
    names, key = image_names(document), clean(row_key(place, document), "the id")
    if len(names) > 1:
        raise BadRowError("invalid_row", f"{len(names)} images: the rules ask about one")
    image = picture(found.read(names[0]), names[0]) if names else None
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
