"""Sources of JSON objects that name their pictures: what `llava_json` and `convert` have in common."""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from data.registry.cards import SourceCard
from data.registry.drawing import Candidate, failing, side
from data.registry.raw.lines import Row, rows_of
from data.registry.raw.pictures import PlacedPictures
from data.registry.raw.places import Place, files_identity, local_path
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import parse_object
from data.schema import Sample

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
Make = Callable[[str, dict[str, Any]], Sample]


def documents_identity(place: Place, images: str | None, rows: str | None) -> str:
    """Hash of the files and of every picture that they name (or of the zip), so that a replaced picture is noticed."""
    names = place.names(SUFFIXES)
    digest = hashlib.sha256(files_identity(place, names).encode())
    if images is not None and images.endswith(".zip"):
        digest.update(files_identity(place, [images]).encode())
        return digest.hexdigest()
    found = PlacedPictures(place, images or "")
    for _, row in _rows(place, rows):
        try:
            for name in image_names(_document(row)):
                digest.update(found.identity(name).encode())
        except (BadRowError, OSError):
            digest.update(b"unreadable")
    return digest.hexdigest()


def document_candidates(
    card: SourceCard,
    place: Place,
    seed: int,
    rows: str | None,
    heldout_one_in: int | None,
    unique_ids: bool,
    make: Make,
) -> Iterator[Candidate]:
    """A candidate for each object; one that can't be parsed counts as training, where the ledger sees it.

    `make` gets the place of the object (file:line) and the object itself.
    """
    for key, row in _rows(place, rows):
        unique, repeated = hashlib.sha256(row.payload).hexdigest(), "duplicate_row"
        try:
            document = _document(row)
        except BadRowError as problem:
            yield Candidate(key=key, unique=unique + key, split="train", make=failing(problem))
            continue
        if unique_ids and "id" in document:
            unique, repeated = f"id {document['id']!r}", "duplicate_id"
        by = document.get(card.split_key, document.get("id", key))
        split = side(card, seed, heldout_one_in, by, document.get("split"))
        yield Candidate(key=key, unique=unique, split=split, make=partial(make, key, document), repeated=repeated)


def image_names(document: dict[str, Any]) -> list[str]:
    """The pictures that an object names under `image` or `images`."""
    names = document.get("image") or document.get("images") or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise BadRowError("invalid_row", "`image` must be a path or a list of paths")
    return names


def row_key(key: str, document: dict[str, Any]) -> str:
    """The object's own id, else its line."""
    return str(document.get("id", key.rpartition(":")[2]))


def _rows(place: Place, rows: str | None) -> Iterator[tuple[str, Row]]:
    for name in place.names(SUFFIXES):
        for row in rows_of(local_path(place, name), rows):
            yield f"{name}:{row.place}", row


def _document(row: Row) -> dict[str, Any]:
    if row.problem is not None:
        raise row.problem
    return parse_object(row.payload)
