"""Sources of Parquet rows with pictures in their cells: what `hf_parquet` and `convert` have in common."""

import fnmatch
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow.parquet as pq

from data.errors import AerieError
from data.registry.cards import SourceCard
from data.registry.drawing import Candidate, failing, side
from data.registry.raw.parquet import GroupRows, cells, open_parquet, weigh
from data.registry.raw.pictures import Pictures, picture
from data.registry.raw.places import Place, local_path
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import parse_object
from data.schema import ImageRef, Sample

SUFFIXES = (".parquet",)
IMAGE_COLUMNS = ("images", "image")
Row = dict[str, Any]
Classes = dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How files are read: `columns` names what `make` needs of a file (`AerieError` when the file lacks it).

    `make` builds a sample from a row's key (file:index), its columns and the file's class names by column; the rest is
    as in the adapters' options.
    """

    columns: Callable[[pq.ParquetFile], list[str]]
    make: Callable[[str, Row, Classes], Sample]
    id: str | None = None
    heldout_files: str | None = None
    heldout_one_in: int | None = None


def parquet_candidates(card: SourceCard, place: Place, seed: int, reading: Reading) -> Iterator[Candidate]:
    """A candidate for each row; a file or row group that can't be read at all is one broken candidate."""
    for number, name in enumerate(place.names(SUFFIXES)):
        try:
            file = open_parquet(local_path(place, name))
            columns = reading.columns(file)
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
            yield from _file(card, seed, reading, name, file, columns)


def _file(
    card: SourceCard, seed: int, reading: Reading, name: str, file: pq.ParquetFile, columns: list[str]
) -> Iterator[Candidate]:
    there, first, classes = file.schema_arrow.names, 0, _class_names(file)
    by = card.split_key if reading.heldout_one_in is not None else ""
    by_image = by in IMAGE_COLUMNS and by in there
    narrow = sorted({entry for entry in (reading.id or "", "split", by) if entry in there})
    explicit = "heldout" if fnmatch.fnmatchcase(name, reading.heldout_files or "") else None
    for group in range(file.metadata.num_row_groups):
        claimed = max(0, file.metadata.row_group(group).num_rows)
        try:
            count, rows = weigh(file, group), GroupRows(file, group, columns)
            keys = cells(file, group, narrow) if narrow else ({} for _ in range(count))
            for index, cell in enumerate(keys):
                key = f"{name}:{first + index}"
                value = _content_hash(cell.get(by)) if by_image else cell.get(by, key)
                split = side(card, seed, reading.heldout_one_in, value, cell.get("split") or explicit)
                known = cell.get(reading.id) if reading.id is not None else None
                unique = f"id {known!r}" if known is not None else key
                make = partial(_made, reading, rows, key, index, classes)
                yield Candidate(key=key, unique=unique, split=split, make=make, repeated="duplicate_id")
        except BadRowError as problem:
            key = f"{name}:{first}-{first + claimed}"
            yield Candidate(key=key, unique=key, split="train", make=failing(problem))
        first += claimed


def _made(reading: Reading, rows: GroupRows, key: str, index: int, classes: Classes) -> Sample:
    return reading.make(key, rows.row(index), classes)


def _class_names(file: pq.ParquetFile) -> Classes:
    """The names of numbered classes by column, where the Hugging Face metadata of the schema tell them."""
    try:
        about = parse_object((file.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
        features = about["info"]["features"]
        named = {column: feature.get("names") for column, feature in features.items() if isinstance(feature, dict)}
    except (BadRowError, KeyError, TypeError, AttributeError):
        return {}
    return {
        column: names
        for column, names in named.items()
        if isinstance(names, list) and all(isinstance(name, str) for name in names)
    }


def _content_hash(value: Any) -> str:
    value = value[0] if isinstance(value, list) and value else value
    value = value.get("bytes") or value.get("path") if isinstance(value, dict) else value
    return hashlib.sha256(value if isinstance(value, bytes) else str(value).encode()).hexdigest()


def row_images(cell: Any, found: Pictures, key: str) -> list[ImageRef]:
    """The pictures of an image cell: one or a list, each `{bytes, path}`, bytes, or a path."""
    entries = cell if isinstance(cell, list) else [cell]
    return [_image(entry, found, f"{key}#{number}") for number, entry in enumerate(entries) if entry is not None]


def _image(cell: Any, found: Pictures, name: str) -> ImageRef:
    if isinstance(cell, dict):
        cell = cell["bytes"] if cell.get("bytes") is not None else cell.get("path")
    if isinstance(cell, bytes):
        return picture(cell, name)
    if isinstance(cell, str) and cell:
        return picture(found.read(cell), cell)
    raise BadRowError("missing_file", f"image {name!r} has neither bytes nor a path")
