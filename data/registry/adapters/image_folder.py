"""A folder of pictures with captions, or with folders that are named after what their pictures show.

The card's URI is the folder. Captions are read from the first of these that is there: `captions.csv` (columns
`file_name`, `file` or `image`, and `caption` or `text`), `captions.json` (an array of such objects), `captions.jsonl`
and `metadata.jsonl` (such objects as lines), `captions.txt` (name, tab, caption); for pictures that it doesn't name,
from a `.txt` beside the picture. With `label_folders` there are no captions: the innermost folder's name is the label.
A picture may have several captions; one without any is rejected, so that none is lost unseen. Questions come in several
wordings, chosen by seeded hash.

Held out: pictures that match `heldout_files`, or a share by picture. Options (`FolderOptions`): `label_folders`,
`kind`, `heldout_files`, `heldout_one_in`.
"""

import fnmatch
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from pydantic import Field

from data.registry.cards import SourceCard
from data.registry.drawing import Candidate, draw, failing, side
from data.registry.phrasings import CAPTION, label_wordings, pick
from data.registry.raw.limits import ROW_BYTES
from data.registry.raw.lines import lines_of, rows_of
from data.registry.raw.pictures import Pictures, picture, pictures
from data.registry.raw.places import Place, files_identity, local_path, place_of, safe_name
from data.registry.raw.problems import BadRowError
from data.registry.raw.tables import records
from data.registry.raw.text import parse_object, utf8
from data.registry.rows import RawRow, options
from data.registry.turns import conversation, pair_turns, with_images
from data.schema import Sample
from data.settings.base import Strict
from data.settings.sources import SourceUse

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
CAPTION_FILES = ("captions.csv", "captions.json", "captions.jsonl", "metadata.jsonl", "captions.txt")
NAME_FIELDS, TEXT_FIELDS = ("file_name", "file", "image"), ("caption", "text")
Caption = tuple[str, str | None, str | None, BadRowError | None]  # key, picture, text, what is wrong


class FolderOptions(Strict):
    """Where the texts come from."""

    label_folders: bool = Field(default=False, description="the folder's name is the label")
    kind: str | None = Field(default=None, min_length=1, description="what labels are, as `bird`; asked for by it")
    heldout_files: str | None = Field(default=None, description="pattern of picture names, as test/*")
    heldout_one_in: int | None = Field(default=None, ge=2, description="held-out share of the pictures")


def identity(card: SourceCard) -> str:
    """Hash of the pictures and the caption files."""
    place = place_of(card)
    return files_identity(place, place.names((*SUFFIXES, *CAPTION_FILES, ".txt")))


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """A row for each caption, and one for each picture without."""
    settings, place = options(FolderOptions, card), place_of(card)
    found = pictures(place)
    return draw(card, use, seed, lambda: _candidates(card, settings, place, found, seed))


def _candidates(
    card: SourceCard, settings: FolderOptions, place: Place, found: Pictures, seed: int
) -> Iterator[Candidate]:
    captioned: set[str] = set()
    names = place.names(SUFFIXES)
    file = _caption_file(place) if not settings.label_folders else None
    for key, name, text, problem in _captions(place, file) if file is not None else ():
        if problem is not None or name is None or text is None:
            problem = problem or BadRowError("invalid_row", "no picture's name")
            yield Candidate(key=key, unique=key, split="train", make=failing(problem))
            continue
        captioned.add(name)
        make = partial(_sample, card, settings, found, seed, name, text)
        yield Candidate(key=key, unique=f"{name}\0{text}", split=_split(card, settings, seed, name), make=make)
    for name in names:
        if name not in captioned:
            make = partial(_own_text, card, settings, place, found, seed, name, file)
            split = _split(card, settings, seed, name.encode("utf-8", "backslashreplace").decode())
            yield Candidate(key=name, unique=name.encode("utf-8", "backslashreplace").decode(), split=split, make=make)


def _split(card: SourceCard, settings: FolderOptions, seed: int, name: str) -> Any:
    explicit = "heldout" if fnmatch.fnmatchcase(name, settings.heldout_files or "") else None
    return side(card, seed, settings.heldout_one_in, name, explicit)


def _caption_file(place: Place) -> str | None:
    for name in CAPTION_FILES:
        try:
            place.path(name)
        except BadRowError:
            continue
        return name
    return None


def _captions(place: Place, file: str) -> Iterator[Caption]:
    """The captions of a caption file, each with the key of its line."""
    path = local_path(place, file)
    if file.endswith(".csv"):
        try:
            for record in records(path, ","):
                yield _caption(f"{file}:{record.line}", record.cells, record.problem)
        except BadRowError as error:
            yield file, None, None, error
    elif file.endswith(".txt"):
        for row in lines_of(path, ROW_BYTES):
            yield _caption_line(f"{file}:{row.place}", row.payload, row.problem)
    else:
        for row in rows_of(path):
            try:
                cells, problem = parse_object(row.payload) if row.problem is None else {}, row.problem
            except BadRowError as error:
                cells, problem = {}, error
            yield _caption(f"{file}:{row.place}", cells, problem)


def _caption_line(key: str, payload: bytes, problem: BadRowError | None) -> Caption:
    try:
        if problem is not None:
            raise problem
        name, tab, text = utf8(payload).strip().partition("\t")
        if not tab:
            raise BadRowError("invalid_row", "a line needs a name, a tab and a caption")
    except BadRowError as error:
        return key, None, None, error
    return _caption(key, {"file": name.partition("#")[0], "text": text}, None)


def _caption(key: str, cells: dict[str, Any], problem: BadRowError | None) -> Caption:
    name = next((cells[field] for field in NAME_FIELDS if isinstance(cells.get(field), str)), None)
    text = next((cells[field] for field in TEXT_FIELDS if isinstance(cells.get(field), str)), None)
    try:
        if problem is not None:
            raise problem
        if name is None or text is None:
            raise BadRowError("invalid_row", f"needs one of {NAME_FIELDS} and one of {TEXT_FIELDS}")
        return key, safe_name(name, "image"), text, None
    except BadRowError as error:
        return key, None, None, error


def _own_text(
    card: SourceCard,
    settings: FolderOptions,
    place: Place,
    found: Pictures,
    seed: int,
    name: str,
    file: str | None,
) -> Sample:
    """The sample of a picture whose text is its folder's name or a file beside it."""
    path = PurePosixPath(safe_name(name, "image"))
    if settings.label_folders:
        if not path.parent.name:
            raise BadRowError("missing_caption", f"{name!r} lies in no folder that is a label")
        return _sample(card, settings, found, seed, name, path.parent.name.replace("_", " "))
    beside = path.with_suffix(".txt").as_posix()
    try:
        text = place.path(beside)
    except BadRowError:
        raise BadRowError("missing_caption", f"{name!r} has no caption in {file or beside!r}") from None
    if text.stat().st_size > ROW_BYTES:
        raise BadRowError("row_too_large", f"{beside!r} has {text.stat().st_size} bytes, {ROW_BYTES} are allowed")
    return _sample(card, settings, found, seed, name, utf8(text.read_bytes()))


def _sample(card: SourceCard, settings: FolderOptions, found: Pictures, seed: int, name: str, text: str) -> Sample:
    task = "label" if settings.label_folders else "caption"
    wordings: tuple[str, ...] = label_wordings(settings.kind) if settings.label_folders else CAPTION
    image = picture(found.read(name), name)
    turns = pair_turns([(pick(wordings, seed, card.name, name, text), text.strip())])
    return conversation(card, name, with_images(turns, 1), [image], task)
