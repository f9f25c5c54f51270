"""Question and annotation files in the style of VQAv2, and joined JSON in the style of COCO.

The card's URI is the folder; each part (`Part`) names a file of rows there, in which array they stand, and what is
joined to them: answers of an annotation file by `question_id`, file names of an `images` array by `image_id`. A row
with a question needs an answer (`multiple_choice_answer`, `answer`, or the commonest of `answers`), from the row itself
or its annotation; a row with a `caption` gets a question in one of several wordings. Where no file names are joined,
the image is the row's `image`, `file_name` or `image_pattern` with the row's `image_id`.

Held out: parts with `split: heldout`, or a share by the card's `split_key`, a field such as `image_id`. A row's key is
its `question_id` or `id`, which must be there once a part. Options (`VqaOptions`): `parts`, `choices`, `task`,
`heldout_one_in`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from pydantic import Field

from data.registry.cards import SourceCard
from data.registry.drawing import Candidate, draw, failing, side
from data.registry.phrasings import CAPTION, pick
from data.registry.raw.joins import Joined
from data.registry.raw.lines import Row, rows_of
from data.registry.raw.pictures import Pictures, picture, pictures
from data.registry.raw.places import Place, files_identity, local_path, place_of
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import parse_object
from data.registry.rows import RawRow, Split, options
from data.registry.turns import choice_pair, conversation, pair_turns, with_images
from data.schema import Sample
from data.settings.base import Strict
from data.settings.sources import SourceUse

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
ANSWERS = ("multiple_choice_answer", "answer", "answers")
IMAGE_ID = re.compile(r"\{image_id(?::0?(\d{1,2}))?\}")


class Part(Strict):
    """One file of rows and what belongs to it; all names count from the card's folder."""

    file: str = Field(min_length=1, description="the rows: questions, or captions")
    rows: str | None = Field(default="questions", description="key of their array; null for a bare array or lines")
    annotations: str | None = Field(default=None, description="file with `annotations`, joined by `question_id`")
    image_names: str | None = Field(default=None, description="file with `images` (`id`, `file_name`), by `image_id`")
    images: str | None = Field(default=None, description="folder or .zip of the pictures")
    image_pattern: str | None = Field(default=None, description="as COCO_train2014_{image_id:012}.jpg")
    split: Split | None = Field(default=None, description="the side of all rows of this part")


class VqaOptions(Strict):
    """Which files are read."""

    parts: tuple[Part, ...] = Field(default=(), description="else every JSON file is a part of its own")
    choices: str | None = Field(default=None, description="field with the list of options; the answer is one of them")
    task: str | None = Field(default=None, min_length=1, description="task of all pairs; else open or caption")
    heldout_one_in: int | None = Field(default=None, ge=2, description="held-out share, by the card's split_key")


def identity(card: SourceCard) -> str:
    """Hash of the JSON files and zips. Loose pictures are not in it: raise the card's `version` with them."""
    settings, place = options(VqaOptions, card), place_of(card)
    parts = _parts(settings, place)
    names = {name for part in parts for name in (part.file, part.annotations, part.image_names) if name}
    names |= {part.images for part in parts if part.images and part.images.endswith(".zip")}
    for name in sorted(names):
        local_path(place, name)
    return files_identity(place, sorted(names))


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """A row for each row of each part's file, and one for each annotation that can't be read."""
    settings, place = options(VqaOptions, card), place_of(card)
    parts = [_Part(place, part) for part in _parts(settings, place)]
    return draw(
        card, use, seed, lambda: (candidate for part in parts for candidate in _candidates(card, settings, seed, part))
    )


def _parts(settings: VqaOptions, place: Place) -> tuple[Part, ...]:
    return settings.parts or tuple(Part(file=name) for name in place.names(SUFFIXES))


class _Part:
    """A part with its pictures and its joined files; these are read once, however often the rows are."""

    def __init__(self, place: Place, part: Part) -> None:
        self.place, self.part, self.broken = place, part, list[tuple[str, BadRowError]]()
        self.found: Pictures = pictures(place, part.images)
        self.annotations = self._joined("answer", part.annotations, "annotations", "question_id")
        self.names = self._joined("image_name", part.image_names, "images", "id")

    def _joined(self, what: str, name: str | None, key: str, by: str) -> Joined | None:
        return Joined(what, self._pairs(name, key, by)) if name is not None else None

    def _pairs(self, name: str, key: str, by: str) -> Iterator[tuple[str, Any]]:
        for row in rows_of(local_path(self.place, name), key):
            try:
                document = _document(row)
                kept = {field: document[field] for field in (*ANSWERS, "file_name") if field in document}
                if by not in document:
                    raise BadRowError("invalid_row", f"an entry of {key!r} has no {by!r}")
                yield str(document[by]), kept
            except BadRowError as problem:
                self.broken.append((f"{name}:{row.place}", problem))

    def image_name(self, row: dict[str, Any]) -> str | None:
        """The file name of a row's picture, None for a row without."""
        number = row.get("image_id")
        if self.names is not None:
            name = self.names.value(str(number)).get("file_name")
        elif self.part.image_pattern is not None:
            if not isinstance(number, str | int):
                raise BadRowError("invalid_row", f"image_id {number!r}")
            name = IMAGE_ID.sub(lambda found: str(number).zfill(int(found[1] or 0)), self.part.image_pattern)
        else:
            name = row.get("image", row.get("file_name"))
        if name is not None and not isinstance(name, str):
            raise BadRowError("invalid_row", f"image name {name!r}")
        return name


def _document(row: Row) -> dict[str, Any]:
    if row.problem is not None:
        raise row.problem
    return parse_object(row.payload)


def _candidates(card: SourceCard, settings: VqaOptions, seed: int, part: _Part) -> Iterator[Candidate]:
    name, joins = part.part.file, part.part.split
    for key, problem in part.broken:
        yield Candidate(key=key, unique=key, split=joins or "train", make=failing(problem))
    for row in rows_of(local_path(part.place, name), part.part.rows):
        key = f"{name}:{row.place}"
        try:
            document = _document(row)
        except BadRowError as problem:
            yield Candidate(key=key, unique=key, split=joins or "train", make=failing(problem))
            continue
        number = document.get("question_id", document.get("id", row.place))
        by = document.get(card.split_key, number)
        split = side(card, seed, settings.heldout_one_in, by, joins or document.get("split"))
        make = partial(_sample, card, settings, seed, part, f"{name}:{number}", document)
        yield Candidate(key=key, unique=f"{name}:{number}", split=split, make=make, repeated="duplicate_id")


def _sample(
    card: SourceCard, settings: VqaOptions, seed: int, part: _Part, key: str, document: dict[str, Any]
) -> Sample:
    if isinstance(caption := document.get("caption"), str) and "question" not in document:
        pair, task = (pick(CAPTION, seed, card.name, key), caption.strip()), "caption"
    else:
        pair, task = _asked(settings, part, document), "open"
    name = part.image_name(document)
    images = [picture(part.found.read(name), name)] if name is not None else []
    return conversation(card, key, with_images(pair_turns([pair]), len(images)), images, settings.task or task)


def _asked(settings: VqaOptions, part: _Part, document: dict[str, Any]) -> tuple[str, str]:
    question, answered = document.get("question"), document
    if part.annotations is not None:
        answered = part.annotations.value(str(document.get("question_id")))
    value = next((answered[field] for field in ANSWERS if answered.get(field) is not None), None)
    answer = _commonest(value) if isinstance(value, list) else value
    if not isinstance(question, str) or not isinstance(answer, str | int | float) or isinstance(answer, bool):
        raise BadRowError("invalid_row", f"question {question!r}, answer {answer!r}")
    if settings.choices is None:
        return question, str(answer)
    choices = document.get(settings.choices)
    if not isinstance(choices, list):
        raise BadRowError("invalid_row", f"{settings.choices!r} is no list of options")
    return choice_pair(
        question, [str(choice) for choice in choices], answer if isinstance(answer, int) else str(answer)
    )


def _commonest(answers: list[Any]) -> str:
    """The answer that most people gave; the first of several that are equally common."""
    texts = [entry.get("answer") if isinstance(entry, dict) else entry for entry in answers]
    given = Counter(text for text in texts if isinstance(text, str) and text.strip())
    if not given:
        raise BadRowError("empty_answer", "`answers` has no text")
    return given.most_common(1)[0][0]
