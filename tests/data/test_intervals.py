"""The interval plot: marks where the numbers are, text that stays text."""

import re
from xml.etree import ElementTree

from data.reporting.intervals import IntervalPlot, IntervalRow

ROWS = (
    IntervalRow(name="a", value=-0.1, low=-0.2, high=0.0, limit=-0.05, tone="bad"),
    IntervalRow(name="b", value=0.1, low=None, high=None, limit=None),
)


def drawn(rows, **settings):
    return ElementTree.fromstring(IntervalPlot(title="t", x_label="x", rows=rows, **settings).svg("figure-1"))


def of_class(root, kind):
    return [element for element in root.iter() if kind in element.get("class", "").split()]


def test_marks_lie_on_one_linear_axis():
    root = drawn(ROWS)
    one, other = (float(dot.get("cx")) for dot in of_class(root, "dot"))
    (zero,) = (float(line.get("x1")) for line in of_class(root, "axis"))
    (limit,) = (float(line.get("x1")) for line in of_class(root, "limit"))
    span = next(line for line in of_class(root, "bad") if line.get("y1") == line.get("y2"))
    assert abs((one + other) / 2 - zero) < 0.2
    assert abs(limit - (one + zero) / 2) < 0.2
    assert abs(float(span.get("x2")) - zero) < 0.2
    assert abs(float(span.get("x1")) - (2 * one - zero)) < 0.3
    assert len(of_class(root, "line")) == 3, "a row without an interval has a dot only"


def test_every_mark_is_inside():
    root = drawn(tuple(IntervalRow(name="n" * 90, value=n, low=n - 2, high=n + 3, limit=-0.1) for n in (-4, 7)))
    _, _, width, height = map(float, root.get("viewBox").split())
    for element in root.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.get(name, 0)) <= width
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(element.get(name, 0)) <= height
    assert "…" in "".join(root.itertext())


def test_names_are_text():
    evil = '<script>alert(1)</script>"\u202e'
    svg = str(
        IntervalPlot(
            title=evil, x_label=evil, rows=(IntervalRow(name=evil, value=0.0, low=None, high=None, limit=None),)
        ).svg("f")
    )
    assert "<script" not in svg
    assert "\u202e" not in svg
    assert not re.search(r"\son\w+=|style=", svg)


def test_a_description_says_the_numbers_and_no_row_is_no_fault():
    text = "".join(drawn(ROWS).itertext())
    assert "a: -0.1, interval -0.2 to 0, limit -0.05" in text
    assert "nothing to show" in "".join(drawn(()).itertext())
