"""Pages of PDF files as pictures, with questions from a file or with the page's own text layer to be read.

The card's URI is a file, a folder or a pattern. With `questions`, a JSON or JSONL file in the folder, its objects are
the rows: `{file, page, question, answer}` or `{file, page, text}`; `page` counts from 1 and may be a list. Without it
every page is a row, and its text layer the answer; a page without text is rejected.

Held out, always by whole files: those that match `heldout_files`, or a seeded share. Options (`PdfOptions`):
`questions`, `side`, `heldout_files`, `heldout_one_in`. Needs the package pypdfium2.
"""

import fnmatch
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pydantic import Field

from data.registry.cards import SourceCard
from data.registry.drawing import Candidate, draw, failing, side
from data.registry.phrasings import TRANSCRIBE, pick
from data.registry.raw.lines import rows_of
from data.registry.raw.pdfs import Pages
from data.registry.raw.pictures import picture
from data.registry.raw.places import Place, files_identity, local_path, place_of
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import parse_object
from data.registry.rows import RawRow, Split, options, package_version
from data.registry.turns import conversation, pair_turns, with_images
from data.schema import Sample
from data.settings.base import Strict
from data.settings.sources import SourceUse

SUFFIXES = (".pdf",)
MOST_PAGES = 32  # of one question


class PdfOptions(Strict):
    """What is asked, and how large pages are drawn."""

    questions: str | None = Field(default=None, description="file of questions or texts; else text layers are read")
    side: int = Field(default=1344, ge=64, le=4096, description="pixels of a page's longer side; 3 tiles of 448")
    task: str | None = Field(default=None, min_length=1, description="task of all pairs; else open or transcription")
    heldout_files: str | None = Field(default=None, description="pattern of file names, as test/*")
    heldout_one_in: int | None = Field(default=None, ge=2, description="held-out share of the files")


def identity(card: SourceCard) -> str:
    """Hash of the files, and the parser that draws them."""
    settings, place = options(PdfOptions, card), place_of(card)
    names = [*place.names(SUFFIXES), *([settings.questions] if settings.questions else [])]
    return f"{files_identity(place, names)} pypdfium2=={package_version(card, 'pypdfium2')}"


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """A row for each page, or for each object of the questions' file."""
    package_version(card, "pypdfium2")
    settings, place, pages = options(PdfOptions, card), place_of(card), Pages()
    scan: Callable[..., Iterator[Candidate]] = _pages if settings.questions is None else _asked
    try:
        yield from draw(card, use, seed, partial(scan, card, settings, place, pages, seed))
    finally:
        pages.close()


def _split(card: SourceCard, settings: PdfOptions, seed: int, name: str) -> Split:
    explicit = "heldout" if fnmatch.fnmatchcase(name, settings.heldout_files or "") else None
    return side(card, seed, settings.heldout_one_in, name, explicit)


def _pages(card: SourceCard, settings: PdfOptions, place: Place, pages: Pages, seed: int) -> Iterator[Candidate]:
    for name in place.names(SUFFIXES):
        try:
            count = pages.count(place.path(name))
            split = _split(card, settings, seed, name)
        except BadRowError as problem:
            unique = name.encode("utf-8", "backslashreplace").decode()
            yield Candidate(key=name, unique=unique, split="train", make=failing(problem))
            continue
        for page in range(count):
            key = f"{name}:{page + 1}"
            make = partial(_read_aloud, card, settings, place, pages, seed, name, page)
            yield Candidate(key=key, unique=key, split=split, make=make)


def _asked(card: SourceCard, settings: PdfOptions, place: Place, pages: Pages, seed: int) -> Iterator[Candidate]:
    for row in rows_of(local_path(place, settings.questions or "")):
        key = f"{settings.questions}:{row.place}"
        try:
            if row.problem is not None:
                raise row.problem
            document = parse_object(row.payload)
            if not isinstance(document.get("file"), str):
                raise BadRowError("invalid_row", "`file` must name a PDF")
        except BadRowError as problem:
            yield Candidate(key=key, unique=key, split="train", make=failing(problem))
            continue
        split = _split(card, settings, seed, document["file"])
        make = partial(_answered, card, settings, place, pages, seed, key, document)
        yield Candidate(key=key, unique=repr(sorted(document.items())), split=split, make=make)


def _read_aloud(
    card: SourceCard, settings: PdfOptions, place: Place, pages: Pages, seed: int, name: str, page: int
) -> Sample:
    text = pages.text(place.path(name), page)
    if not text:
        raise BadRowError("no_text_layer", "the page has no text to be read: a scan, or an empty page")
    return _sample(
        card, settings, place, pages, name, [page], f"{name}:{page + 1}", (_transcribe(card, seed, name, page), text)
    )


def _transcribe(card: SourceCard, seed: int, *key: object) -> str:
    return pick(TRANSCRIBE, seed, card.name, *key)


def _answered(
    card: SourceCard,
    settings: PdfOptions,
    place: Place,
    pages: Pages,
    seed: int,
    key: str,
    document: dict[str, Any],
) -> Sample:
    name, numbers = document["file"], document.get("page", 1)
    numbers = numbers if isinstance(numbers, list) else [numbers]
    if not 1 <= len(numbers) <= MOST_PAGES or not all(type(number) is int for number in numbers):
        raise BadRowError("invalid_row", f"`page` must be a number or 1 to {MOST_PAGES} of them")
    question, answer = document.get("question", ""), document.get("answer", document.get("text"))
    if isinstance(document.get("text"), str) and not question:
        question = _transcribe(card, seed, key)
    if not isinstance(question, str) or not isinstance(answer, str | int | float) or isinstance(answer, bool):
        raise BadRowError("invalid_row", f"question {question!r}, answer {answer!r}")
    where = [number - 1 for number in numbers]
    return _sample(card, settings, place, pages, name, where, key, (question, str(answer)), "question" in document)


def _sample(
    card: SourceCard,
    settings: PdfOptions,
    place: Place,
    pages: Pages,
    name: str,
    numbers: list[int],
    key: str,
    pair: tuple[str, str],
    asked: bool = False,
) -> Sample:
    path = place.path(name)
    images = [picture(pages.picture(path, page, settings.side), f"{name}#{page + 1}.png") for page in numbers]
    turns = with_images(pair_turns([pair]), len(images))
    return conversation(card, key, turns, images, settings.task or ("open" if asked else "transcription"))
