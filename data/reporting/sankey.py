"""Rows on their way through steps as inline SVG: bands narrow where rows are dropped, and end in what is trained.

Groups stand on the left, each with a colour; every step is a bar that the bands pass; what a step drops peels off
downwards, one band a reason; what it adds joins from above. Widths are proportional to rows. A band that would be
thinner than `THINNEST` is drawn that thick, so that nothing that was counted is invisible.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from markupsafe import Markup

from data.errors import AerieError
from data.reporting.marks import CHARACTER_WIDTH, cut_name, label_at, units
from data.reporting.text import visible

WIDTH, LEFT, RIGHT = 980.0, 212.0, 206.0
TRUNK_HEIGHT, BAR, GAP = 240.0, 10.0, 5.0
LINE = 15.0  # between the lines of labels
BLANK = "\u2002"
THINNEST = 1.0  # units; of 980 in the picture's width
DROP_RUN = 46.0  # how far right of its step a dropped band ends
ADDED_RUN = 52.0
COLOURS = (3, 1, 5, 2, 4)  # classes sN of the groups, in turn; neighbours differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Rows that end in a step for one reason, by group."""

    reason: str
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStep:
    """One step: rows that it adds, by group, and what it drops."""

    name: str
    added: tuple[int, ...]
    drops: tuple[Drop, ...]

    def leave(self, enter: Sequence[int]) -> tuple[int, ...]:
        """Rows by group after the step."""
        lost = [sum(column) for column in zip(*(drop.rows for drop in self.drops), strict=True)] or [0] * len(enter)
        return tuple(rows + more - less for rows, more, less in zip(enter, self.added, lost, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sankey:
    """The flow of groups through steps into `end`. `stages` are parts of the end that may overlap: (name, rows)."""

    title: str
    groups: tuple[str, ...]
    read: tuple[int, ...]
    steps: tuple[FlowStep, ...]
    end: str
    stages: tuple[tuple[str, int], ...] = ()

    def at(self) -> list[tuple[int, ...]]:
        """Rows by group at the beginning and after each step; `AerieError` when a step drops what isn't there."""
        found = list(accumulate(self.steps, lambda rows, step: step.leave(rows), initial=self.read))
        for step, rows in zip(self.steps, found[1:], strict=True):
            if min(rows, default=0) < 0:
                raise AerieError(f"step {step.name!r} drops more rows of a group than enter: {rows}")
        return found

    def svg(self, ident: str) -> Markup:
        """The picture as one SVG element."""
        return _Drawing(self).markup(ident)


class _Drawing:
    """Lays the picture out from left to right; `marks` collects bands behind bars and labels."""

    def __init__(self, flow: Sankey) -> None:
        self.flow, self.rows = flow, flow.at()
        most = max((sum(rows) + sum(s.added) for rows, s in zip(self.rows, flow.steps, strict=False)), default=0)
        self.scale = TRUNK_HEIGHT / max(most, sum(self.rows[-1]), sum(flow.read), 1)
        self.pitch = (WIDTH - LEFT - RIGHT - BAR) / (len(flow.steps) + 1)
        # Names that would touch stand on two levels in turn.
        longest = max(len(name) for name in (flow.end, *(step.name for step in flow.steps)))
        self.levels = 2 if (longest + 1) * CHARACTER_WIDTH > self.pitch else 1
        self.top = 18.0 + self.levels * 2 * LINE
        added = max((sum(step.added) for step in flow.steps), default=0)
        self.trunk = self.top + (self.high(added) + LINE if added else 0.0)
        self.bands, self.fronts = Markup(""), Markup("")

    def high(self, rows: int) -> float:
        """The height of so many rows, without the least that is drawn."""
        return rows * self.scale

    def x(self, column: int) -> float:
        """The left edge of a bar: column 0 holds the groups, the last the end."""
        return LEFT + column * self.pitch

    def markup(self, ident: str) -> Markup:
        """Everything, in a frame that is as high as it needs to be."""
        bottom = self._groups()
        drops: list[tuple[int, FlowStep]] = []
        for number, step in enumerate(self.flow.steps):
            self._step(number, step)
            drops.append((number, step))
        bottom = max(bottom, self._end(), self.trunk + TRUNK_HEIGHT) + 2 * LINE
        for number, step in reversed(drops):  # the last step's first: no later band then crosses an earlier label
            bottom = self._drops(number, step, bottom)
        described = f"{sum(self.flow.read):,} rows read, {sum(self.rows[-1]):,} {self.flow.end}"
        frame = Markup(
            '<svg class="chart flows" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{i}-title {i}-desc">'
            '<title id="{i}-title">{t}</title><desc id="{i}-desc">{d}</desc>{inside}</svg>'
        )
        return frame.format(
            w=units(WIDTH),
            h=units(bottom + 4),
            i=ident,
            t=visible(self.flow.title),
            d=visible(described),
            inside=self.bands + self.fronts,
        )

    def _groups(self) -> float:
        """The groups' bars with room for their labels, and their bands into the first step; the lowest edge."""
        y, into = self.trunk, self._entries(0)
        for number, (name, rows) in enumerate(zip(self.flow.groups, self.flow.read, strict=True)):
            height, room = self.high(rows), max(self.high(rows), LINE - GAP)
            top = y + (room - height) / 2
            self._bar(LEFT, top, height, f"s{_colour(number)}", f"{name}: {rows:,} rows read", "read", rows)
            count = f"{rows:,}"
            text = f"{cut_name(name, LEFT - 16 - 7 * len(count))}{BLANK}{count}"
            self.fronts += label_at(LEFT - 8, y + room / 2 + 4, text, "legend end")
            self._band(
                (LEFT + BAR, top), (self.x(1), into[number]), rows, f"s{_colour(number)}", f"{name}: {rows:,} rows"
            )
            y += room + GAP
        return y

    def _entries(self, number: int) -> list[float]:
        """Where each group's band enters the bar after `number` steps: below what that step adds."""
        added = sum(self.flow.steps[number].added) if number < len(self.flow.steps) else 0
        return self._stacked(self.rows[number], self.trunk + self.high(added))

    def _stacked(self, rows: Sequence[int], top: float) -> list[float]:
        return [top + self.high(before) for before in accumulate(rows[:-1], initial=0)] if rows else []

    def _step(self, number: int, step: FlowStep) -> None:
        x, enter, leave = self.x(number + 1), self.rows[number], self.rows[number + 1]
        added = sum(step.added)
        passed = sum(enter) + added
        tip = f"{step.name}: {sum(enter):,} rows enter, {added:,} added, {sum(leave):,} leave"
        self._bar(x, self.trunk, self.high(passed), "step", tip, "step", passed)
        self._heading(number + 1, step.name, sum(leave))
        starts, ends = self._stacked(leave, self.trunk), self._entries(number + 1)
        for group, (name, rows) in enumerate(zip(self.flow.groups, leave, strict=True)):
            tip = f"{name}: {rows:,} rows leave {step.name}"
            self._band((x + BAR, starts[group]), (self.x(number + 2), ends[group]), rows, f"s{_colour(group)}", tip)
        if added:
            tip = f"{step.name} adds {added:,} rows" + self._by_group(step.added)
            self._band((x - ADDED_RUN, self.top), (x, self.trunk), added, "added", tip, "added")
            self.fronts += label_at(
                x - ADDED_RUN - 5, self.top + self.high(added) / 2 + 4, f"added {added:,}", "legend end"
            )

    def _heading(self, column: int, name: str, rows: int) -> None:
        x, raised = self.x(column) + BAR / 2, 2 * LINE * (column % self.levels)
        self.fronts += label_at(x, self.top - 26 - raised, name, "legend middle")
        self.fronts += label_at(x, self.top - 12 - raised, f"{rows:,}", "value middle")

    def _end(self) -> float:
        """What is left, and its parts side by side; the lowest edge."""
        x, left = self.x(len(self.flow.steps) + 1), sum(self.rows[-1])
        self._bar(x, self.trunk, self.high(left), "step", f"{self.flow.end}: {left:,} rows", "end", left)
        self._heading(len(self.flow.steps) + 1, self.flow.end, left)
        at, y = x + BAR + 10, self.trunk + 10
        labels = at + len(self.flow.stages) * (BAR + 3) + 8
        for number, (name, rows) in enumerate(self.flow.stages):
            colour = ("s2", "s3", "s4")[number % 3]
            self._bar(at, self.trunk, self.high(rows), f"bar {colour}", f"{name}: {rows:,} rows", "stage", rows)
            box = Markup('<rect class="bar {}" x="{}" y="{}" width="8" height="8" rx="2"/>')
            self.fronts += box.format(colour, units(labels), units(y - 8))
            self.fronts += label_at(labels + 13, y, f"{name}{BLANK}{rows:,}", "legend")
            at, y = at + BAR + 3, y + LINE
        return y

    def _drops(self, number: int, step: FlowStep, top: float) -> float:
        """One line a reason below everything that later steps drop; returns where the next may begin."""
        x = self.x(number + 1)
        start = self.trunk + self.high(sum(self.rows[number + 1]))
        for drop in step.drops:
            rows = sum(drop.rows)
            height, tip = self.high(rows), f"{step.name} drops {rows:,} rows: {drop.reason}" + self._by_group(drop.rows)
            middle = top + max(height, LINE) / 2
            self._band((x + BAR, start), (x + BAR + DROP_RUN, middle - height / 2), rows, "dropped", tip, "dropped")
            said = f"{drop.reason}{BLANK}{rows:,}"
            self.fronts += label_at(
                x + BAR + DROP_RUN + 6, middle + 4, cut_name(said, WIDTH - x - BAR - DROP_RUN - 6), "legend"
            )
            start, top = start + height, top + max(height, LINE) + 2
        return top

    def _by_group(self, rows: Sequence[int]) -> str:
        parts = [f"{name} {count:,}" for name, count in zip(self.flow.groups, rows, strict=True) if count]
        return f" ({', '.join(parts)})" if parts else ""

    def _bar(self, x: float, y: float, height: float, kind: str, tip: str, role: str, rows: int) -> None:
        shape = '<rect class="{}" x="{}" y="{}" width="{}" height="{}" data-role="{}" data-rows="{}">'
        markup = Markup(shape + "<title>{}</title></rect>")
        kind = kind if kind.startswith("bar") or kind == "step" else f"bar {kind}"
        self.fronts += markup.format(
            kind, units(x), units(y), units(BAR), units(max(height, THINNEST)), role, rows, visible(tip)
        )

    def _band(
        self, start: tuple[float, float], end: tuple[float, float], rows: int, kind: str, tip: str, role: str = "passed"
    ) -> None:
        """A band of so many rows between the upper ends of its edges; none for no rows."""
        if not rows:
            return
        height = max(self.high(rows), THINNEST)
        x0, y0, x1, y1 = (units(value) for value in (*start, *end))
        low0, low1, bend = units(start[1] + height), units(end[1] + height), units((start[0] + end[0]) / 2)
        path = f"M{x0} {y0}C{bend} {y0} {bend} {y1} {x1} {y1}V{low1}C{bend} {low1} {bend} {low0} {x0} {low0}Z"
        markup = Markup('<path class="flow {}" d="{}" data-role="{}" data-rows="{}"><title>{}</title></path>')
        self.bands += markup.format(kind, path, role, rows, visible(tip))


def _colour(number: int) -> int:
    return COLOURS[number % len(COLOURS)]
