"""The tables of vega-datasets as series that a chart can show: what stands on each axis, per table."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from data.errors import AerieError


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How one column of a table becomes series.

    x: label column; dates: its strftime format once parsed, "" when it is no date; y: value column;
    how: what to do with rows that share a label; by: make one series per value of this column;
    ordered: the labels have a direction, so that a line chart and a trend make sense.
    """

    x: str
    y: str
    how: Literal["value", "mean", "sum", "count"] = "value"
    by: str = ""
    dates: str = ""
    ordered: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Labels and values of one table, in order; `x` and `y` are the words that a question uses."""

    table: str
    x: str
    y: str
    group: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    ordered: bool


JOBS = (
    *("private", "goods_producing", "service_providing", "mining_and_logging", "construction", "manufacturing"),
    *("durable_goods", "nondurable_goods", "wholesale_trade", "retail_trade", "utilities", "information", "government"),
)
VIEWS: dict[str, tuple[View, ...]] = {
    "airports.csv": (View(x="state", y="number_of_airports", how="count", ordered=False),),
    "anscombe.json": (View(x="X", y="Y", by="Series"),),
    "barley.json": (
        View(x="variety", y="yield", how="mean", by="site", ordered=False),
        View(x="variety", y="yield", how="mean", by="year", ordered=False),
        View(x="site", y="yield", how="mean", by="variety", ordered=False),
    ),
    "burtin.json": tuple(
        View(x="Bacteria", y=drug, ordered=False) for drug in ("Penicillin", "Streptomycin", "Neomycin")
    ),
    "cars.json": tuple(
        View(x="Year", y=column, how="mean", by="Origin", dates="%Y")
        for column in ("Miles_per_Gallon", "Horsepower", "Acceleration", "Displacement", "Weight_in_lbs")
    ),
    "crimea.json": tuple(View(x="date", y=column, dates="%b %y") for column in ("wounds", "other", "disease")),
    "driving.json": (View(x="year", y="miles"), View(x="year", y="gas")),
    "iowa-electricity.csv": (View(x="year", y="net_generation", by="source", dates="%Y"),),
    "iris.json": tuple(
        View(x="species", y=column, how="mean", ordered=False)
        for column in ("sepalLength", "sepalWidth", "petalLength", "petalWidth")
    ),
    "ohlc.json": tuple(View(x="date", y=column, dates="%b %d") for column in ("open", "high", "low", "close")),
    "seattle-temps.csv": (
        View(x="date", y="temp", how="mean", dates="%b"),
        View(x="date", y="temp", how="mean", dates="%H:00"),
    ),
    "seattle-weather.csv": (
        *(View(x="date", y=y, how="mean", dates="%b %y") for y in ("temp_max", "temp_min", "wind")),
        View(x="date", y="precipitation", how="sum", dates="%b %y"),
        View(x="weather", y="number_of_days", how="count", ordered=False),
    ),
    "sf-temps.csv": (
        View(x="date", y="temp", how="mean", dates="%b"),
        View(x="date", y="temp", how="mean", dates="%H:00"),
    ),
    "stocks.csv": (View(x="date", y="price", by="symbol", dates="%b %y"),),
    "us-employment.csv": tuple(View(x="month", y=column, how="mean", dates="%Y") for column in JOBS),
    "wheat.json": (View(x="year", y="wheat"), View(x="year", y="wages")),
}
# A question says "year", whatever the column is called.
WORDS_OF_FORMAT = {"%Y": "year", "%b": "month", "%b %y": "month", "%b %d": "day", "%H:00": "hour"}


def table_series(folder: Path, table: str) -> Iterator[Series]:
    """Every series of a table with at least three labels."""
    frame = _load(folder / table)
    for view in VIEWS[table]:
        groups = frame.groupby(view.by, sort=True) if view.by else [("", frame)]
        for group, part in groups:
            values = _aggregate(part, view)
            if len(values) >= 3:
                yield Series(
                    table=table,
                    x=WORDS_OF_FORMAT.get(view.dates, view.x.lower()),
                    y=view.y.replace("_", " ").lower(),
                    group=str(group),
                    labels=tuple(str(label) for label in values.index),
                    values=tuple(float(value) for value in values),
                    ordered=view.ordered,
                )


def _load(path: Path) -> pd.DataFrame:
    try:
        # Dates stay text here: each view parses its own column, the same way under every pandas version.
        if path.suffix == ".csv":
            return pd.read_csv(path)
        return pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise AerieError(f"table {path} can't be read ({error}); reinstall vega-datasets") from error


def _aggregate(part: pd.DataFrame, view: View) -> "pd.Series[float]":
    """Values by label, in time order (dates), in number order (numeric labels) or as the table has them."""
    labels = part[view.x]
    if view.dates:
        dates = pd.to_datetime(labels, format="mixed")
        part = part.assign(label=dates.dt.strftime(view.dates), moment=dates).sort_values("moment", kind="stable")
    else:
        part = part.assign(label=labels)
        if view.ordered:
            part = part.sort_values("label", kind="stable")
    if view.how == "count":
        return part.groupby("label", sort=False).size().astype(float)
    values = part.dropna(subset=[view.y]).groupby("label", sort=False)[view.y]
    return {"value": values.first, "mean": values.mean, "sum": values.sum}[view.how]().astype(float)
