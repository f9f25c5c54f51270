"""Differences with their intervals as inline SVG: one row each, zero and each row's limit marked."""

from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from data.reporting.marks import CHARACTER_WIDTH, cut_name, label_at, units
from data.reporting.scale import Label, Scale, make_scale, plain_number
from data.reporting.text import visible

ROW, TOP, BOTTOM, RIGHT = 24.0, 10.0, 42.0, 30.0
NAMES = 200.0  # at most, of the width
Tone = Literal["good", "bad", "warn", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalRow:
    """One estimate; `low` and `high` are None where there is no interval, `limit` where nothing is forbidden."""

    name: str
    value: float
    low: float | None
    high: float | None
    limit: float | None
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalPlot:
    """Rows over one axis, which always holds zero."""

    title: str
    x_label: str
    rows: tuple[IntervalRow, ...]
    x_format: Label = plain_number
    width: float = 980.0

    def svg(self, ident: str) -> Markup:
        """The chart as one SVG element; `ident` prefixes its ids."""
        height = TOP + ROW * max(len(self.rows), 1) + BOTTOM
        left = min(max((len(row.name) for row in self.rows), default=0) * CHARACTER_WIDTH + 18, NAMES)
        ends = [end for row in self.rows for end in (row.value, row.low, row.high, row.limit) if end is not None]
        x = make_scale(min([0.0, *ends]), max([0.0, *ends]), left, self.width - RIGHT)
        inside = self._axis(x, height)
        for number, row in enumerate(self.rows):
            inside += self._row(row, TOP + (number + 0.5) * ROW, x, left)
        described = "; ".join(self._tip(row) for row in self.rows) or "nothing to show"
        frame = Markup(
            '<svg class="chart intervals" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{i}-title {i}-desc">'
            '<title id="{i}-title">{t}</title><desc id="{i}-desc">{d}</desc>{inside}</svg>'
        )
        texts = {"t": visible(self.title), "d": visible(described)}
        return frame.format(w=units(self.width), h=units(height), i=ident, inside=inside, **texts)

    def _axis(self, x: Scale, height: float) -> Markup:
        bottom, marks = height - BOTTOM, Markup("")
        for tick in x.ticks:
            kind = "axis" if abs(tick) < 1e-12 else "grid"
            marks += _line(x.at(tick), TOP, x.at(tick), bottom, kind)
            marks += label_at(x.at(tick), bottom + 15, self.x_format(tick), "tick middle")
        return marks + label_at((x.start + x.end) / 2, bottom + 33, self.x_label, "label middle")

    def _row(self, row: IntervalRow, y: float, x: Scale, left: float) -> Markup:
        marks = label_at(left - 10, y + 3.5, cut_name(row.name, left - 14), "legend end")
        if row.limit is not None:
            marks += _line(x.at(row.limit), y - 9, x.at(row.limit), y + 9, "limit")
        if row.low is not None and row.high is not None:
            marks += _line(x.at(row.low), y, x.at(row.high), y, f"line {row.tone}")
            for end in (row.low, row.high):
                marks += _line(x.at(end), y - 4, x.at(end), y + 4, f"line {row.tone}")
        dot = Markup('<circle class="dot {}" cx="{}" cy="{}" r="4"><title>{}</title></circle>')
        return marks + dot.format(row.tone, units(x.at(row.value)), units(y), visible(self._tip(row)))

    def _tip(self, row: IntervalRow) -> str:
        known = row.low is not None and row.high is not None
        span = f", interval {self.x_format(row.low or 0)} to {self.x_format(row.high or 0)}" if known else ""
        limit = "" if row.limit is None else f", limit {self.x_format(row.limit)}"
        return f"{row.name}: {self.x_format(row.value)}{span}{limit}"


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    markup = Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>')
    return markup.format(kind, units(x1), units(y1), units(x2), units(y2))
