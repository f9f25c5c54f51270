"""Charts drawn from vega-datasets tables, with answers computed from the values that the chart shows."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image
from pydantic import Field

from data.errors import AerieError
from data.images import encode_png, image_ref
from data.registry.adapters.vega_tables import VIEWS, Series, table_series
from data.registry.cards import SourceCard
from data.registry.rows import (
    Accepted,
    RawRow,
    Split,
    options,
    package_folder,
    package_identity,
    package_version,
    question_sample,
    seeded_keep,
    seeded_rank,
)
from data.settings.base import Strict
from data.settings.sources import SourceUse

SIDE, DPI = 128, 100  # pixels: 2 x 2 tiles of 64 px without resampling
SHAPES_OF_CHART = ("bar", "line")
MAX_LABEL = 10  # characters


class ChartOptions(Strict):
    """Which tables are held out, and how many charts a table gives."""

    heldout_tables: tuple[str, ...] = Field(min_length=1)
    charts_per_table: int = Field(default=42, ge=1)
    heldout_charts_per_table: int = Field(default=20, ge=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What a chart shows: `values` are rounded as they are printed, so that every answer can be read off it."""

    kind: Literal["bar", "line"]
    title: str
    x: str
    y: str
    labels: tuple[str, ...]
    values: tuple[str, ...]
    ordered: bool


def identity(card: SourceCard) -> str:
    """The tables' package and the library that draws."""
    return f"{package_identity(card)} matplotlib=={package_version(card, 'matplotlib')}"


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """Plan all charts, cap, then draw only what is kept."""
    settings = options(ChartOptions, card)
    unknown = sorted(set(settings.heldout_tables) - set(VIEWS))
    if unknown:
        raise AerieError(f"card {card.name!r}, options.heldout_tables: unknown {unknown}; choose from {sorted(VIEWS)}")
    folder = package_folder(card, "vega_datasets") / "_data"
    plans: dict[Split, dict[str, Chart]] = {"train": {}, "heldout": {}}
    for table in VIEWS:
        split: Split = "heldout" if table in settings.heldout_tables else "train"
        count = settings.heldout_charts_per_table if split == "heldout" else settings.charts_per_table
        charts = plan_charts(list(table_series(folder, table)), count, random.Random(seeded_rank(seed, table)))
        plans[split] |= {f"{table}/{index:03d}": chart for index, chart in enumerate(charts)}
    draw = Painter()
    caps: tuple[tuple[Split, int | None], ...] = (("train", use.max_samples), ("heldout", use.max_heldout))
    for split, cap in caps:
        for key in seeded_keep(list(plans[split]), cap, seed, card.name):
            chart = plans[split][key]
            pairs = chart_questions(chart, random.Random(seeded_rank(seed, "questions", key)))
            meta = {"key": key, "table": key.split("/")[0], "chart": _facts(chart)}
            yield Accepted(split=split, sample=question_sample(card, image_ref(draw(chart), f"{key}.png"), pairs, meta))


def _facts(chart: Chart) -> dict[str, Any]:
    """The shown table, for whoever computes more answers later."""
    return {"kind": chart.kind, "x": chart.x, "y": chart.y, "labels": chart.labels, "values": chart.values}


def plan_charts(series: list[Series], count: int, rng: random.Random) -> list[Chart]:
    """Up to `count` distinct charts: a seeded series, 3 to 5 of its rows, a kind."""
    charts: dict[Chart, None] = {}
    for _ in range(count * 4):  # a small table has fewer distinct charts than asked for
        if len(charts) == count:
            break
        chosen = rng.choice(series)
        rows = rng.randint(3, min(5, len(chosen.labels)))
        if chosen.ordered:
            start = rng.randint(0, len(chosen.labels) - rows)
            picked = list(range(start, start + rows))
        else:
            picked = sorted(rng.sample(range(len(chosen.labels)), rows))
        chart = _chart(chosen, picked, rng)
        if chart is not None:
            charts.setdefault(chart)
    return list(charts)


def _chart(series: Series, picked: list[int], rng: random.Random) -> Chart | None:
    """A chart of some rows, or None when two labels look alike once shortened."""
    labels = tuple(series.labels[index][:MAX_LABEL].strip() for index in picked)
    if len(set(labels)) < len(labels):
        return None
    values, unit = printed([series.values[index] for index in picked])
    kind: Literal["bar", "line"] = "line" if series.ordered and rng.random() < 0.5 else "bar"
    title = " ".join(part for part in (series.group[:10], series.y, unit) if part)
    return Chart(kind=kind, title=title, x=series.x, y=series.y, labels=labels, values=values, ordered=series.ordered)


def printed(values: list[float]) -> tuple[tuple[str, ...], str]:
    """Values as a small chart can print them (about three digits), and the unit that this needs.

    >>> printed([135450.0, 98210.0])
    (('135', '98'), '(thousands)')
    """
    largest = max(abs(value) for value in values)
    scale, unit = (1e6, "(millions)") if largest >= 1e6 else (1e3, "(thousands)") if largest >= 1e4 else (1.0, "")
    digits = 0 if largest / scale >= 100 else 1 if largest / scale >= 10 else 2
    shown = [f"{value / scale:.{digits}f}" for value in values]
    return tuple(text.rstrip("0").rstrip(".") if "." in text else text for text in shown), unit


def chart_questions(chart: Chart, rng: random.Random) -> list[tuple[str, str, str]]:
    """(question, answer, task) triples; max and min are left out on a tie, trend without a direction."""
    from decimal import Decimal  # differences of printed values must be exact: 2.3 - 1.1 = 1.2

    values = [Decimal(value) for value in chart.values]
    by_value = sorted(zip(values, chart.labels, strict=True))
    pairs: list[tuple[str, str, str]] = []
    if by_value[-1][0] != by_value[-2][0]:
        pairs.append((f"Which {chart.x} has the highest {chart.y}?", by_value[-1][1], "max"))
    if by_value[0][0] != by_value[1][0]:
        pairs.append((f"Which {chart.x} has the lowest {chart.y}?", by_value[0][1], "min"))
    asked = rng.randrange(len(values))
    pairs.append((f"What is the {chart.y} for {chart.labels[asked]}?", chart.values[asked], "value_at"))
    one, other = rng.sample(range(len(values)), 2)
    gap = f"{abs(values[one] - values[other]).normalize():f}"
    names = f"{chart.labels[one]} and {chart.labels[other]}"
    pairs.append((f"What is the difference in {chart.y} between {names}?", gap, "difference"))
    if chart.ordered:
        trend = "rise" if values[-1] > values[0] else "fall" if values[-1] < values[0] else "stay the same"
        question = f"Does {chart.y} rise, fall or stay the same from {chart.labels[0]} to {chart.labels[-1]}?"
        pairs.append((question, trend, "trend"))
    return pairs


@contextmanager
def _default_style() -> Iterator[None]:
    """matplotlib's own defaults for a while: a user's matplotlibrc must not change the pixels."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


class Painter:
    """Draws charts on one reused figure: a new figure for each chart would take several times as long."""

    def __init__(self) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        with _default_style():
            self._figure = Figure(figsize=(SIDE / DPI, SIDE / DPI), dpi=DPI)
            self._canvas = FigureCanvasAgg(self._figure)
            self._axes = self._figure.add_axes((0.06, 0.13, 0.88, 0.68))

    def __call__(self, chart: Chart) -> bytes:
        """PNG (128 x 128 px, RGB): title above, values at the marks, labels below or, for long ones, beside bars."""
        with _default_style():
            self._paint(chart)
            self._canvas.draw()
        return encode_png(Image.fromarray(self._pixels()).convert("RGB"))

    def _paint(self, chart: Chart) -> None:
        axes, places = self._axes, range(len(chart.values))
        numbers = [float(value) for value in chart.values]
        axes.clear()
        two_lines = any(" " in label for label in chart.labels)
        sideways = chart.kind == "bar" and max(map(len, chart.labels)) > 5
        axes.set_position(
            (0.40, 0.04, 0.56, 0.80)
            if sideways
            else (0.04, 0.2 if two_lines else 0.12, 0.92, 0.62 if two_lines else 0.70)
        )
        if sideways:
            axes.barh(list(places), numbers, color="#4878a8", height=0.6)
            axes.invert_yaxis()
            axes.set_yticks(list(places), chart.labels)
        elif chart.kind == "bar":
            axes.bar(list(places), numbers, color="#4878a8", width=0.6)
        else:
            axes.plot(list(places), numbers, color="#b04030", linewidth=1, marker="o", markersize=2)
            axes.set_xlim(-0.5, len(numbers) - 0.5)
        axes.tick_params(length=0, pad=1, labelsize=5.5, labelbottom=not sideways, labelleft=sideways)
        if not sideways:
            axes.set_xticks(list(places), [label.replace(" ", "\n") for label in chart.labels])
        self._annotate(chart, numbers, sideways)
        # Set all four every time: `clear` keeps visibility, and pixels must not depend on the chart drawn before.
        for side in ("top", "right", "bottom", "left"):
            axes.spines[side].set_visible(side == ("left" if sideways else "bottom"))
        self._figure.texts.clear()
        self._figure.text(0.5, 0.98, chart.title[:28], ha="center", va="top", fontsize=6)

    def _annotate(self, chart: Chart, numbers: list[float], sideways: bool) -> None:
        low, high = min(0.0, *numbers) if chart.kind == "bar" else min(numbers), max(numbers)
        room = (high - low) or abs(high) or 1.0  # space for the printed value beyond the largest mark
        (self._axes.set_xlim if sideways else self._axes.set_ylim)(
            low - 0.08 * room, high + (0.42 if sideways else 0.3) * room
        )
        for place, (number, text) in enumerate(zip(numbers, chart.values, strict=True)):
            where = (
                (max(number, 0.0), place) if sideways else (place, max(number, 0.0) if chart.kind == "bar" else number)
            )
            self._axes.annotate(
                text,
                where,
                xytext=(2, 0) if sideways else (0, 2),
                textcoords="offset points",
                ha="left" if sideways else "center",
                va="center" if sideways else "bottom",
                fontsize=5.5,
            )

    def _pixels(self) -> Any:
        import numpy as np

        return np.asarray(self._canvas.buffer_rgba())
