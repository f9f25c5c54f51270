"""VLMEvalKit TSV: columns `index`, `image`, `question`, options `A`, `B`, ..., `answer`, `hint`, `category`, `split`.

`image` is base64 (a list of them for several images), or the `index` of another record whose image it shares; without
it `image_path` names files. With options the question gets them as lettered lines and the answer is a letter; a hint
stands before the question. A record's key is its index, which must be there once.

Held out: records whose `split` says so, or a share by the card's `split_key`: a column, where `image` keeps all records
that share an image together. Options (`TsvOptions`): `images`, `task`, `keep`, `heldout_one_in`.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pydantic import Field

from data.errors import AerieError
from data.images import MAX_BYTES
from data.registry.cards import SourceCard
from data.registry.drawing import Candidate, draw, failing, side
from data.registry.raw.lines import is_gzip
from data.registry.raw.pictures import Pictures, picture, pictures
from data.registry.raw.places import Place, files_identity, local_path, place_of
from data.registry.raw.problems import BadRowError
from data.registry.raw.tables import Record, records
from data.registry.rows import RawRow, options
from data.registry.turns import choice_pair, conversation, pair_turns, with_images
from data.schema import ImageRef, Sample
from data.settings.base import Strict
from data.settings.sources import SourceUse

SUFFIXES = (".tsv",)
REFERENCE = re.compile(r"\d{1,18}")  # base64 of the smallest picture is longer
LISTED = re.compile(r"""['"]([^'"]*)['"]""")
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


class TsvOptions(Strict):
    """What the columns don't say."""

    images: str | None = Field(default=None, description="folder or .zip that `image_path` counts from; else the URI's")
    task: str | None = Field(default=None, min_length=1, description="else multiple_choice with options, open without")
    keep: tuple[str, ...] = Field(default=("category",), description="columns that go into `meta.columns`")
    heldout_one_in: int | None = Field(default=None, ge=2, description="held-out share, by the card's split_key")


def identity(card: SourceCard) -> str:
    """Hash of the files. Pictures that `image_path` names are not in it: raise the card's `version` with them."""
    place = place_of(card)
    return files_identity(place, place.names(SUFFIXES))


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """A row for each record of each file."""
    settings, place = options(TsvOptions, card), place_of(card)
    found = pictures(place, settings.images)
    shared = SharedImages(place)

    def scan() -> Iterator[Candidate]:
        for name in place.names(SUFFIXES):
            try:
                for record in records(local_path(place, name), "\t"):
                    yield _candidate(card, settings, seed, found, shared, name, record)
            except BadRowError as problem:
                yield Candidate(key=name, unique=name, split="train", make=failing(problem))

    return draw(card, use, seed, scan)


class SharedImages:
    """Images that other records refer to: where they stand in the file, not the images themselves."""

    def __init__(self, place: Place) -> None:
        self._place, self._name, self._offsets = place, "", dict[str, int]()

    def cell(self, name: str, index: str) -> str:
        """The image cell of the record with this index; `BadRowError` when there is none or it refers on."""
        path = local_path(self._place, name)
        if is_gzip(path):
            raise BadRowError("missing_file", "image refers to another record: unpack the file to make it readable")
        if name != self._name:
            self._name, self._offsets = name, _offsets(path)
        if index not in self._offsets:
            raise BadRowError("missing_file", f"image refers to index {index}, which has none of its own")
        return next(records(path, "\t", self._offsets[index])).cells["image"].strip()


def _offsets(path: Path) -> dict[str, int]:
    """Where the records are that have images of their own, by index."""
    offsets: dict[str, int] = {}
    for record in records(path, "\t"):
        image = record.cells.get("image", "").strip()
        if record.problem is None and image and not REFERENCE.fullmatch(image):
            offsets.setdefault(record.cells.get("index", ""), record.offset)
    return offsets


def _candidate(
    card: SourceCard,
    settings: TsvOptions,
    seed: int,
    found: Pictures,
    shared: SharedImages,
    name: str,
    record: Record,
) -> Candidate:
    key, cells = f"{name}:{record.line}", record.cells
    if record.problem is None and not {"question", "index"} <= cells.keys():
        raise AerieError(f"source {card.name!r}: {name} has no columns `index` and `question`, only {list(cells)}")
    if record.problem is not None:
        return Candidate(key=key, unique=key, split="train", make=failing(record.problem))
    image = cells.get("image", "").strip()
    by = cells.get(card.split_key, key)
    if card.split_key == "image":
        by = image if REFERENCE.fullmatch(image) else cells["index"]
    split = side(card, seed, settings.heldout_one_in, by, cells.get("split") or None)
    make = partial(_sample, card, settings, found, shared, name, cells)
    return Candidate(key=key, unique=f"{name} {cells['index']}", split=split, make=make, repeated="duplicate_id")


def _sample(
    card: SourceCard, settings: TsvOptions, found: Pictures, shared: SharedImages, name: str, cells: dict[str, str]
) -> Sample:
    choices = [cells.get(letter, "").strip() for letter in LETTERS]
    count = max((number for number, choice in enumerate(choices, 1) if choice), default=0)
    hint = "" if cells.get("hint", "").strip().lower() in {"", "nan"} else cells["hint"].strip()
    answer = cells.get("answer", "").strip()
    if not answer:
        raise BadRowError("empty_answer", "no answer: benchmarks keep those of their test part to themselves")
    if count:
        if not all(choices[:count]):
            raise BadRowError("invalid_row", f"option {LETTERS[choices.index('')]} is empty, later ones are not")
        pair = choice_pair(cells["question"], choices[:count], answer, hint)
    else:
        pair = ("\n".join(filter(None, [hint, cells["question"].strip()])), answer)
    images = record_images(found, shared, name, cells)
    turns = with_images(pair_turns([pair]), len(images))
    task = settings.task or ("multiple_choice" if count else "open")
    kept = {column: cells[column] for column in settings.keep if column in cells}
    return conversation(card, f"{name}:{cells['index']}", turns, images, task, **({"columns": kept} if kept else {}))


def record_images(found: Pictures, shared: SharedImages, name: str, cells: dict[str, str]) -> list[ImageRef]:
    """The pictures of a record of the file `name`, none without a cell; `BadRowError` says what is wrong with one."""
    cell = cells.get("image", "").strip()
    if not cell:
        path = cells.get("image_path", "").strip()
        paths = LISTED.findall(path) if path.startswith("[") else [path] if path else []
        return [picture(found.read(path), path) for path in paths]
    if REFERENCE.fullmatch(cell):
        cell = shared.cell(name, cell)
    coded = LISTED.findall(cell) if cell.startswith("[") else [cell]
    return [picture(_decoded(text), f"{name}:{cells['index']}#{number}") for number, text in enumerate(coded)]


def _decoded(text: str) -> bytes:
    """The bytes of a base64 cell, with or without a data address before it."""
    if len(text) > MAX_BYTES * 4 // 3 + 100:
        raise BadRowError("image_too_large", f"{len(text)} characters of base64, {MAX_BYTES} bytes are allowed")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRowError("corrupt_image", f"`image` is neither base64 nor an index: {error}") from None
