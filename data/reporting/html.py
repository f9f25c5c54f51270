"""A self-contained HTML page from typed sections: no script, no network, every text escaped.

Blocks are plain frozen values; how they look stands in page.html and page.css.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from data.reporting.pictures import Embedded, embedded
from data.reporting.svg import Figure
from data.reporting.text import finalize, slug

HERE = Path(__file__).parent
Tone = Literal["good", "bad", "warn", "plain"]
NUMBER = re.compile(r"[+\-−]?[\d,]*\.?\d+([eE][+-]?\d+)?( ?%|M| s| min)?|–|")


@dataclass(frozen=True, slots=True)
class Badge:
    """A short word with a colour, as a table cell or on a picture."""

    text: str
    tone: Tone = "plain"


Cell = str | Badge


class Picture(NamedTuple):
    """An encoded image (PNG, JPEG, ...) with its caption; a plain (bytes, str) pair does as well."""

    image: bytes
    caption: str
    badge: Badge | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; line feeds stay."""

    text: str
    kind: ClassVar[str] = "text"


@dataclass(frozen=True, slots=True)
class Stats:
    """A row of large numbers: (label, value, note)."""

    items: tuple[tuple[str, str, str], ...]
    kind: ClassVar[str] = "stats"


@dataclass(frozen=True, slots=True)
class KeyValues:
    """Labels with one value each."""

    items: tuple[tuple[str, Cell], ...]
    kind: ClassVar[str] = "keyvalues"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows below headers. Columns of numbers are aligned right; without rows `empty` stands in its place.

    `total` sets the last row apart.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    empty: str = "None."
    total: bool = False
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        uneven = [number for number, row in enumerate(self.rows) if len(row) != len(self.headers)]
        if uneven:
            raise ValueError(f"table {self.headers}: rows {uneven[:5]} do not have {len(self.headers)} cells")

    @property
    def compact(self) -> bool:
        """A few short columns: such a table is only as wide as its content."""
        cells = (cell for row in self.rows for cell in row)
        return len(self.headers) <= 3 and all(len(cell if isinstance(cell, str) else cell.text) <= 40 for cell in cells)

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Per column: does it hold numbers only (blank and dash count as missing numbers)?"""
        columns = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.headers)
        return tuple(all(isinstance(cell, str) and NUMBER.fullmatch(cell) for cell in column) for column in columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Pictures with captions; `columns` fixes how many stand side by side, `size` is the box of each in pixels."""

    items: tuple[Picture | tuple[bytes, str], ...]
    columns: int | None = None
    caption: str = ""
    size: int = 176
    kind: ClassVar[str] = "gallery"

    @property
    def pictures(self) -> list[tuple[Picture, Embedded | None]]:
        """Each item with its data URI, None for bytes that are not a picture."""
        return [(picture, embedded(picture.image, self.size)) for picture in (Picture(*item) for item in self.items)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Two pictures side by side on each card: (headline, left, right)."""

    items: tuple[tuple[str, Picture, Picture], ...]
    caption: str = ""
    size: int = 128
    kind: ClassVar[str] = "pairs"

    @property
    def cards(self) -> list[tuple[str, list[tuple[Picture, Embedded | None]]]]:
        """Each pair with its pictures' data URIs."""
        return [(head, [(item, embedded(item.image, self.size)) for item in pair]) for head, *pair in self.items]


@dataclass(frozen=True, slots=True)
class MosaicRow:
    """One group of a mosaic: its name, a remark, and small pictures."""

    label: str
    note: str
    images: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mosaic:
    """Groups of small pictures, one row each."""

    rows: tuple[MosaicRow, ...]
    caption: str = ""
    size: int = 64
    kind: ClassVar[str] = "mosaic"

    @property
    def strips(self) -> list[tuple[MosaicRow, list[Embedded | None]]]:
        """Each row with its pictures' data URIs."""
        return [(row, [embedded(image, self.size) for image in row.images]) for row in self.rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One figure, or several of the same kind side by side."""

    figures: tuple[Figure, ...]
    caption: str = ""
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Links to files that lie beside the page: (group, ((label, relative address), ...))."""

    groups: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    kind: ClassVar[str] = "links"

    def __post_init__(self) -> None:
        for _, links in self.groups:
            for label, address in links:
                # A scheme or a host would leave the report; sample text must never become an address.
                if re.match(r"\s*([a-zA-Z][a-zA-Z0-9+.\-]*:|//|\\)", address):
                    raise ValueError(f"link {label!r}: {address!r} is not a relative address")


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Blocks behind a summary that opens with a click."""

    summary: str
    blocks: "tuple[Block, ...]"
    open: bool = False
    kind: ClassVar[str] = "details"


Block = Text | Stats | KeyValues | Table | Gallery | Pairs | Mosaic | Chart | Links | Details


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A titled part of the page; its title also stands in the contents."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The whole report."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    footer: str = ""


class _Idents:
    """Numbers the figures of one page."""

    def __init__(self) -> None:
        self.used = 0

    def draw(self, figure: Figure) -> Markup:
        """A figure with an id prefix of its own."""
        self.used += 1
        return figure.svg(f"figure-{self.used}")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["badge"] = lambda value: isinstance(value, Badge)
    return environment


def render_page(page: Page) -> bytes:
    """The page as UTF-8 HTML; equal pages give equal bytes."""
    css = (HERE / "page.css").read_text(encoding="utf-8")
    # The policy names the one style sheet by its hash: nothing that slipped in could style, run or load.
    style_hash = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    html = (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            anchors=_anchors(page.sections),
            css=Markup(css),
            style_hash=style_hash,
            draw=_Idents().draw,
        )
    )
    return html.lstrip().encode()  # macros leave blank lines, and the document type must come first


def _anchors(sections: Sequence[Section]) -> list[str]:
    """One id per section; equal titles are numbered."""
    anchors: list[str] = []
    for section in sections:
        plain, number = slug(section.title), 2
        anchor = plain
        while anchor in anchors:
            anchor, number = f"{plain}-{number}", number + 1
        anchors.append(anchor)
    return anchors
