"""Facts about an image that adapters leave in `meta`, from which rules compute answers. This is their one convention:

    meta["chart"]   {"x": "year", "y": "price", "labels": [..], "values": [..], "kind": "bar"|"line"}
                    labels and values of the marks in order, as printed; `x` and `y` are the words of a question
    meta["table"]   {"columns": [..], "rows": [[..], ..]}
                    cells as printed; the first column names the rows
    meta["boxes"]   [{"label": "dog", "box": [x1, y1, x2, y2]}, ..]
                    pixels of the sample's only image, x to the right, y down, x1 < x2, y1 < y2; of every label that
                    it names, it holds all objects
    meta["objects"] {"dog": 2, ..}
                    how many there are, for a source without boxes; 0 says that there is none
    meta["text"]    the text that the image shows

A number may be a JSON number or text; text may have commas. Whatever is broken, or would make a question ambiguous
(two rows of one name, a tie, boxes that cover each other), is no fact: the rules that need it don't fit.
"""

import functools
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any, TypeVar

from data.schema import Sample

MAX_NAME_CHARS = 60  # a longer label or cell reads badly in a question
PLAIN_NUMBER = re.compile(r"[-+−]?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?")
MAX_DIGITS = 15  # before and after the point; sums of such numbers are exact
GRID = 1000  # coordinates in text count from 0 to 1000, whatever the image's size

Point = tuple[str, Decimal]
Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Marks with names of their own. `whole`: no mark was left out; `ordered`: they stand in an order of time."""

    x: str
    y: str
    points: tuple[Point, ...]
    whole: bool
    ordered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells as text. `names` are the first column's, all different.

    `numeric` has (row name, number) for each column but the first that holds nothing but numbers.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: dict[str, tuple[Point, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """What the rows are called."""
        return tuple(row[0] for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One object. Corners in pixels."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle, pixels."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    @property
    def area(self) -> float:
        """Square pixels."""
        return (self.x2 - self.x1) * (self.y2 - self.y1)

    def overlap(self, other: "Box") -> float:
        """The common area by the smaller of the two areas."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        return max(width, 0.0) * max(height, 0.0) / min(self.area, other.area)


def once_a_sample(read: Callable[[Sample], Facts]) -> Callable[[Sample], Facts]:
    """Rules ask one after another for the facts of the same sample: the last result is kept."""
    last: list[tuple[Sample, Facts]] = []

    @functools.wraps(read)
    def remembered(sample: Sample) -> Facts:
        if not last or last[0][0] is not sample:
            last[:] = [(sample, read(sample))]
        return last[0][1]

    return remembered


def plain(name: str) -> str:
    """A name without case and spacing: two that look alike are one."""
    return " ".join(name.casefold().split())


def number_of(value: Any) -> Decimal | None:
    """A finite number out of a cell; None for anything else, units and percent signs included."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value).strip()
    if isinstance(value, str) and not PLAIN_NUMBER.fullmatch(text):
        return None
    try:
        number = Decimal(text.replace(",", "").replace("−", "-"))
    except InvalidOperation:
        return None
    return number if readable(number) else None


def readable(number: Decimal) -> bool:
    """Whether a chart or table could print a number: finite, and not of a hundred digits."""
    if not number.is_finite():
        return False
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -MAX_DIGITS and number.adjusted() < MAX_DIGITS


def written(number: Decimal) -> str:
    """A number as an answer shows it: no exponent, no zeros at the end, no negative zero."""
    return f"{number.normalize() + 0:f}"


def chart_points(chart: dict[str, Any]) -> list[Point]:
    """(label, value) of each mark; none when the facts are not whole or a value is not a number."""
    labels, values = chart.get("labels"), chart.get("values")
    if not isinstance(labels, list | tuple) or not isinstance(values, list | tuple) or len(labels) != len(values):
        return []
    if not chart.get("x") or not chart.get("y") or not all(str(label).strip() for label in labels):
        return []
    try:
        numbers = [Decimal(str(value).replace(",", "")) for value in values]
    except InvalidOperation:
        return []
    # A label that two marks share names neither of them.
    names = [plain(str(label)) for label in labels]
    return [
        (str(label), number)
        for label, number, name in zip(labels, numbers, names, strict=True)
        if readable(number) and names.count(name) == 1
    ]


@once_a_sample
def chart_of(sample: Sample) -> Chart | None:
    """The sample's chart, None without one that has at least two marks."""
    chart = sample.meta.get("chart")
    points = chart_points(chart) if isinstance(chart, dict) else []
    if not isinstance(chart, dict) or len(points) < 2:
        return None
    numbers = [number_of(label) for label, _ in points]
    rising = all(one is not None and two is not None and one < two for one, two in pairwise(numbers))
    return Chart(
        x=str(chart["x"]),
        y=str(chart["y"]),
        points=tuple(points),
        whole=len(points) == len(chart["labels"]),
        ordered=rising or chart.get("kind") == "line",
    )


@once_a_sample
def table_of(sample: Sample) -> Table | None:
    """The sample's table, None without one that has two columns and two rows with names of their own."""
    table = sample.meta.get("table")
    if not isinstance(table, dict):
        return None
    columns, rows = table.get("columns"), table.get("rows")
    if not isinstance(columns, list | tuple) or not isinstance(rows, list | tuple):
        return None
    if not all(isinstance(row, list | tuple) and len(row) == len(columns) for row in rows):
        return None
    names, cells = _cells(columns), tuple(_cells(row) for row in rows)
    if min(len(names), len(cells)) < 2 or not (_distinct(names) and _distinct(tuple(row[0] for row in cells))):
        return None
    return Table(columns=names, rows=cells, numeric=_numeric(names, cells))


def _numeric(columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> dict[str, tuple[Point, ...]]:
    found: dict[str, tuple[Point, ...]] = {}
    for index, column in enumerate(columns[1:], 1):
        numbers = [(row[0], number_of(row[index])) for row in rows]
        points = tuple((name, number) for name, number in numbers if number is not None)
        if len(points) == len(rows):
            found[column] = points
    return found


def _cells(row: Any) -> tuple[str, ...]:
    return tuple("" if cell is None else " ".join(str(cell).split()) for cell in row)


def _distinct(names: tuple[str, ...]) -> bool:
    """Whether every name can stand in a question and means one thing."""
    return all(0 < len(name) <= MAX_NAME_CHARS for name in names) and len(set(map(plain, names))) == len(names)


@once_a_sample
def boxes_of(sample: Sample) -> list[Box]:
    """The sample's boxes; none when one of them is broken or lies outside the only image."""
    boxes = sample.meta.get("boxes")
    if not isinstance(boxes, list | tuple) or len(sample.images) != 1:
        return []
    found = [_box(entry, sample.images[0].width, sample.images[0].height) for entry in boxes]
    return [box for box in found if box is not None] if all(found) else []


def _box(entry: Any, width: int, height: int) -> Box | None:
    label, corners = (entry.get("label"), entry.get("box")) if isinstance(entry, dict) else (None, None)
    if not isinstance(label, str) or not 0 < len(label.strip()) <= MAX_NAME_CHARS:
        return None
    if not isinstance(corners, list | tuple) or len(corners) != 4:
        return None
    if not all(type(corner) in (int, float) and math.isfinite(corner) for corner in corners):
        return None
    x1, y1, x2, y2 = corners
    inside = 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
    return Box(label=" ".join(label.split()), x1=x1, y1=y1, x2=x2, y2=y2) if inside else None


def named_boxes(sample: Sample) -> list[Box]:
    """The boxes whose label is no other's."""
    boxes = boxes_of(sample)
    counts = Counter(plain(box.label) for box in boxes)
    return [box for box in boxes if counts[plain(box.label)] == 1]


def objects_of(sample: Sample) -> dict[str, int]:
    """How many objects of each label there are: as counted by the source, else as many as there are boxes."""
    objects = sample.meta.get("objects")
    if isinstance(objects, dict):
        whole = all(type(count) is int and count >= 0 for count in objects.values())
        return dict(objects) if whole and _distinct(tuple(map(str, objects))) else {}
    labels: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for box in boxes_of(sample):
        counts[labels.setdefault(plain(box.label), box.label)] += 1
    return dict(counts)


def box_text(box: Box, width: int, height: int) -> str:
    """A box as it stands in questions and answers: `<box>[[x1, y1, x2, y2]]</box>`, coordinates from 0 to 1000."""
    scaled = (box.x1 / width, box.y1 / height, box.x2 / width, box.y2 / height)
    return f"<box>[[{', '.join(str(round(GRID * part)) for part in scaled)}]]</box>"
