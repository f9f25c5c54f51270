"""Small charts as inline SVG: lines, histograms, grouped bars. No script, colours by CSS class, titles for everybody.

Sizes are units of the view box; the page scales a chart to its column. Class `sN` colours series N.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from markupsafe import Markup

from data.reporting.marks import CHARACTER_WIDTH, cut_name, label_at, units
from data.reporting.scale import Label, Scale, make_scale, plain_number
from data.reporting.text import visible

LEFT, RIGHT, TOP, BOTTOM = 62.0, 22.0, 14.0, 42.0
LEGEND_HEIGHT, LEGEND_GAP = 20.0, 26.0
COLOURS = 6
MAX_POINTS = 600


class Figure(Protocol):
    """What a chart block holds."""

    @property
    def title(self) -> str:
        """What the chart shows, in a few words."""
        ...

    def svg(self, ident: str) -> Markup:
        """The chart; `ident` is unique on the page and prefixes the ids inside."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series of (x, y) points; `faint` draws it thin behind the others, `colour` is its number."""

    name: str
    points: tuple[tuple[float, float], ...]
    colour: int = 0
    faint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart:
    """Lines over a common x axis; the y axis starts at `y_low` (None: at the data) and may be fixed by `y_high`."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    y_low: float | None = 0.0
    y_high: float | None = None
    y_format: Label = plain_number
    width: float = 320.0
    height: float = 210.0

    def svg(self, ident: str) -> Markup:
        """The chart as one SVG element; points that are not finite are left out and counted in the description."""
        lines = [(line, _finite(line.points)) for line in self.lines]
        points = [point for _, kept in lines for point in kept]
        if not points:
            return _empty(self.title, ident, self.width, self.height)
        names = [(line.name, line.colour) for line in self.lines if not line.faint]
        legend = _Legend(names if len(names) > 1 else [], self.width)
        xs, ys = [x for x, _ in points], [y for _, y in points]
        x = make_scale(min(xs), max(xs), LEFT, self.width - RIGHT, widen=False, whole=all(v.is_integer() for v in xs))
        low = min(ys) if self.y_low is None else min(self.y_low, *ys)
        high = max(ys) if self.y_high is None else max(self.y_high, *ys)
        y = make_scale(low, high, self.height - BOTTOM, TOP + legend.height)
        lost = sum(len(line.points) for line in self.lines) - len(points)
        described = [f"{line.name}: {_range(kept, self.y_format)}" for line, kept in lines if kept]
        described += [f"{lost} values that are not finite are left out"] if lost else []
        inside = _axes(x, y, self.x_label, self.y_label, plain_number, self.y_format)
        for line, kept in sorted(lines, key=lambda item: not item[0].faint):
            inside += _polyline(line, _thinned(kept), x, y)
        return _svg(self.title, "; ".join(described), ident, self.width, self.height, inside + legend.markup())


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts between edges (one more edge than counts)."""

    title: str
    x_label: str
    y_label: str
    edges: tuple[float, ...]
    counts: tuple[float, ...]
    x_format: Label = plain_number
    colour: int = 0
    width: float = 320.0
    height: float = 190.0

    def svg(self, ident: str) -> Markup:
        """The chart as one SVG element."""
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError(f"{len(self.counts)} counts need {len(self.counts) + 1} edges, got {len(self.edges)}")
        if not self.counts:
            return _empty(self.title, ident, self.width, self.height)
        x = make_scale(self.edges[0], self.edges[-1], LEFT, self.width - RIGHT, widen=False)
        y = make_scale(0, max(self.counts), self.height - BOTTOM, TOP, ticks=4, whole=True)
        inside = _axes(x, y, self.x_label, self.y_label, self.x_format, plain_number)
        for count, left, right in zip(self.counts, self.edges[:-1], self.edges[1:], strict=True):
            tip = f"{self.x_format(left)} to {self.x_format(right)}: {plain_number(count)}"
            inside += _bar(x.at(left) + 0.5, x.at(right) - 0.5, y.at(0), y.at(count), self.colour, tip)
        total = f"{plain_number(sum(self.counts))} in {len(self.counts)} bins"
        return _svg(self.title, total, ident, self.width, self.height, inside)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedBars:
    """Bars side by side in named groups; a value of None has no bar.

    `value_format` writes each value above its bar, `whole` keeps the ticks whole numbers; `first_colour` is the
    colour of the first series.
    """

    title: str
    y_label: str
    groups: tuple[str, ...]
    series: tuple[tuple[str, tuple[float | None, ...]], ...]
    y_high: float | None = None
    y_format: Label = plain_number
    value_format: Label | None = None
    whole: bool = False
    first_colour: int = 0
    width: float = 780.0
    height: float = 270.0

    def svg(self, ident: str) -> Markup:
        """The chart as one SVG element."""
        known = [value for _, values in self.series for value in values if value is not None]
        if not known:
            return _empty(self.title, ident, self.width, self.height)
        names = [(name, number + self.first_colour) for number, (name, _) in enumerate(self.series)]
        legend = _Legend(names if len(names) > 1 else [], self.width)
        y = make_scale(0, max(self.y_high or 0, *known), self.height - BOTTOM, TOP + legend.height, whole=self.whole)
        inside = _y_axis(y, self.y_label, self.y_format, self.width)
        room = (self.width - LEFT - RIGHT) / len(self.groups)
        for index, group in enumerate(self.groups):
            inside += self._group(index, LEFT + (index + 0.5) * room, room, y)
            name = cut_name(group, room)
            inside += label_at(LEFT + (index + 0.5) * room, self.height - BOTTOM + 18, name, "tick middle")
        described = ", ".join(name for name, _ in self.series) + " of " + ", ".join(self.groups)
        return _svg(self.title, described, ident, self.width, self.height, inside + legend.markup())

    def _group(self, index: int, centre: float, room: float, y: Scale) -> Markup:
        bar = min(room * 0.84 / len(self.series), 34.0)
        marks, left = Markup(""), centre - bar * len(self.series) / 2
        for number, (name, values) in enumerate(self.series):
            value = values[index]
            if value is None:
                continue
            start, tip = left + number * bar, f"{self.groups[index]}, {name}: {self.y_format(value)}"
            colour = number + self.first_colour
            marks += _bar(start + 0.75, start + bar - 0.75, y.at(0), y.at(value), colour, tip)
            if self.value_format is not None:
                marks += label_at(start + bar / 2, y.at(value) - 4, self.value_format(value), "value middle")
        return marks


class _Legend:
    """Names with colour marks above the plot, in as many rows as they need."""

    def __init__(self, names: Sequence[tuple[str, int]], width: float) -> None:
        self.entries: list[tuple[float, float, str, int]] = []
        x, y = LEFT, TOP
        for name, colour in names:
            room = len(name) * CHARACTER_WIDTH + LEGEND_GAP
            if x > LEFT and x + room > width:
                x, y = LEFT, y + LEGEND_HEIGHT
            self.entries.append((x, y, name, colour))
            x += room
        self.height = y - TOP + LEGEND_HEIGHT if names else 0.0

    def markup(self) -> Markup:
        marks = Markup("")
        for x, y, name, colour in self.entries:
            box = Markup('<rect class="bar s{}" x="{}" y="{}" width="10" height="10" rx="2"/>')
            marks += box.format(colour % COLOURS, units(x), units(y - 9)) + label_at(x + 15, y, name, "legend")
        return marks


def _svg(title: str, description: str, ident: str, width: float, height: float, inside: Markup) -> Markup:
    frame = Markup(
        '<svg class="chart" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{i}-title {i}-desc">'
        '<title id="{i}-title">{t}</title><desc id="{i}-desc">{d}</desc>{inside}</svg>'
    )
    texts = {"t": visible(title), "d": visible(description)}
    return frame.format(w=units(width), h=units(height), i=ident, inside=inside, **texts)


def _empty(title: str, ident: str, width: float, height: float) -> Markup:
    note = label_at(width / 2, height / 2, "nothing to show", "tick middle")
    return _svg(title, "nothing to show", ident, width, height, note)


def _axes(x: Scale, y: Scale, x_label: str, y_label: str, x_format: Label, y_format: Label) -> Markup:
    marks = _y_axis(y, y_label, y_format, x.end + RIGHT)
    for tick in x.ticks:
        marks += label_at(x.at(tick), y.start + 15, x_format(tick), "tick middle")
        marks += _segment(x.at(tick), y.start, x.at(tick), y.start + 4, "axis")
    return marks + label_at((x.start + x.end) / 2, y.start + 33, x_label, "label middle")


def _y_axis(y: Scale, label: str, y_format: Label, width: float) -> Markup:
    marks = Markup("")
    for tick in y.ticks:
        marks += _segment(LEFT, y.at(tick), width - RIGHT, y.at(tick), "grid")
        marks += label_at(LEFT - 6, y.at(tick) + 3.5, y_format(tick), "tick end")
    middle = units((y.start + y.end) / 2)
    turned = Markup('<text class="label middle" x="12" y="{m}" transform="rotate(-90 12 {m})">{label}</text>')
    return (
        marks + turned.format(m=middle, label=visible(label)) + _segment(LEFT, y.start, width - RIGHT, y.start, "axis")
    )


def _polyline(line: Line, points: Sequence[tuple[float, float]], x: Scale, y: Scale) -> Markup:
    if not points:
        return Markup("")
    path = " ".join(f"{units(x.at(px))},{units(y.at(py))}" for px, py in points)
    kind = f"line s{line.colour % COLOURS}{' faint' if line.faint else ''}"
    markup = Markup('<polyline class="{}" points="{}"><title>{}</title></polyline>')
    drawn = markup.format(kind, path, visible(line.name))
    if len(points) == 1:  # a polyline of one point shows nothing
        dot = Markup('<circle class="bar s{}" cx="{}" cy="{}" r="3"/>')
        drawn += dot.format(line.colour % COLOURS, units(x.at(points[0][0])), units(y.at(points[0][1])))
    return drawn


def _bar(left: float, right: float, base: float, top: float, colour: int, tip: str) -> Markup:
    markup = Markup('<rect class="bar s{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>')
    width, height = max(right - left, 0.5), max(base - top, 0.0)
    return markup.format(colour % COLOURS, units(left), units(top), units(width), units(height), visible(tip))


def _segment(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    markup = Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>')
    return markup.format(kind, units(x1), units(y1), units(x2), units(y2))


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MAX_POINTS` points: of each stretch the lowest and the highest, so that no spike is lost."""
    if len(points) <= MAX_POINTS:
        return points
    stretch = math.ceil(2 * len(points) / MAX_POINTS)
    kept = []
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        kept += sorted({min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])})
    return kept


def _range(points: Sequence[tuple[float, float]], y_format: Label) -> str:
    return f"from {y_format(points[0][1])} to {y_format(points[-1][1])} over {len(points)} points"
