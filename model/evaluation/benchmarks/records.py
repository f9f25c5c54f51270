"""The rows of a benchmark's files, whatever their format: cells by column, and the images when they are asked for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data.errors import AerieError
from data.registry.adapters.vlmevalkit_tsv import LETTERS, SharedImages, record_images
from data.registry.parquet_rows import row_images
from data.registry.raw.parquet import GroupRows, open_parquet, weigh
from data.registry.raw.pictures import Pictures, pictures
from data.registry.raw.places import Place
from data.registry.raw.problems import BadRowError
from data.registry.raw.tables import records
from data.schema import ImageRef
from model.evaluation.benchmarks.cards import BenchmarkCard, Layout
from model.evaluation.benchmarks.places import TSV, file_path, files

REFERENCE_CHARACTERS = (
    64  # VLMEvalKit: an image cell that is no longer is the index of the record whose image it shares
)
MISSING = frozenset({"", "nan"})  # how pandas writes what isn't there


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: `file` and `place` (a line or a row number) say where, `images` reads its pictures (`BadRowError`)."""

    layout: Layout
    file: str
    place: str
    cells: Mapping[str, Any]
    images: Callable[[], list[ImageRef]]

    def text(self, column: str | None) -> str:
        """A cell as text without white space around it, "" when it is missing; `BadRowError` when it is no text."""
        value = self.cells.get(column) if column is not None else None
        if value is None or (isinstance(value, float) and value != value):
            return ""
        if isinstance(value, list | dict | bytes):
            raise BadRowError("invalid_row", f"a {type(value).__name__} where a text or a number is expected")
        text = str(value).strip()
        return "" if text.lower() in MISSING else text

    @property
    def has_image(self) -> bool:
        """True when an image column holds something."""
        return any(value is not None and value != "" for value in map(self.cells.get, self.layout.images))


def rows(card: BenchmarkCard, uri: str) -> Iterator[Row]:
    """Every row of every file, in order; `AerieError` names a file, and its row, that can't be read."""
    for layout, place, name in files(card, uri):
        found = pictures(place)
        read = _tsv if name.lower().endswith(TSV) else _parquet
        try:
            yield from read(card, layout, place, name, found)
        except BadRowError as problem:
            raise AerieError(f"benchmark {card.name!r}: {name}: {problem}; get the file again") from None


def _tsv(card: BenchmarkCard, layout: Layout, place: Place, name: str, found: Pictures) -> Iterator[Row]:
    shared, first = SharedImages(place), True
    for record in records(file_path(place, name), "\t"):
        if record.problem is not None:
            where = f"benchmark {card.name!r}: {name}, line {record.line}"
            raise AerieError(f"{where}: {record.problem}; get the file again, or mend the line")
        if first:
            _check_columns(card, layout, name, list(record.cells))
        first = False
        images = partial(_tsv_images, found, shared, name, record.cells)
        yield Row(layout=layout, file=name, place=f"line {record.line}", cells=record.cells, images=images)


def _tsv_images(found: Pictures, shared: SharedImages, name: str, cells: dict[str, str]) -> list[ImageRef]:
    """Images by the adapter of training data, which knows references by number only: others are looked up before."""
    cell = cells.get("image", "").strip()
    if 0 < len(cell) <= REFERENCE_CHARACTERS and not cell.isdigit():
        cells = {**cells, "image": shared.cell(name, cell)}
    return record_images(found, shared, name, cells)


def _parquet(card: BenchmarkCard, layout: Layout, place: Place, name: str, found: Pictures) -> Iterator[Row]:
    number = 0
    with open_parquet(Path(file_path(place, name))) as file:
        there = file.schema_arrow.names
        _check_columns(card, layout, name, there)
        for group in range(file.metadata.num_row_groups):
            read = GroupRows(file, group, [column for column in there if column in _wanted(layout)])
            for index in range(weigh(file, group)):
                cells = read.row(index)
                images = partial(_parquet_images, found, layout, cells, f"{name}:{number}")
                yield Row(layout=layout, file=name, place=f"row {number}", cells=cells, images=images)
                number += 1


def _parquet_images(found: Pictures, layout: Layout, cells: dict[str, Any], key: str) -> list[ImageRef]:
    there = [cells[column] for column in layout.images if cells.get(column) is not None]
    return [image for cell in there for image in row_images(cell, found, key)]


def _wanted(layout: Layout) -> set[str]:
    optional = {*layout.images, *layout.extra_facts.values(), *([layout.hint] if layout.hint else [])}
    return {*layout.columns(), *optional, *(LETTERS if layout.options == "letters" else ())}


def _check_columns(card: BenchmarkCard, layout: Layout, name: str, there: list[str]) -> None:
    if missing := [column for column in layout.columns() if column not in there]:
        raise AerieError(
            f"benchmark {card.name!r}: {name} has no column {missing}, only {there}; get the file that the card names "
            f"({layout.uri})"
        )
