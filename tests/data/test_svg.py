"""Charts are well-formed XML with titles; axes have round ticks and nothing leaves the frame."""

import math
from xml.etree import ElementTree

import pytest

from data.reporting.scale import make_scale, nice_step, percent_label, plain_number
from data.reporting.svg import MAX_POINTS, GroupedBars, Histogram, Line, LineChart

SVG = "{http://www.w3.org/2000/svg}"


def parsed(figure):
    """The chart as XML (inline SVG in HTML has no namespace)."""
    return ElementTree.fromstring(str(figure.svg("f")))


def line_chart(points, **settings):
    return LineChart(
        title="Loss", x_label="step", y_label="loss", lines=(Line(name="loss", points=points),), **settings
    )


BARS = GroupedBars(
    title="Scores",
    y_label="score",
    groups=("easy-vqa", "digits"),
    series=(("blind", (0.5, None)), ("stage 2", (0.9, 0.8))),
    y_high=1.0,
)
HISTOGRAM = Histogram(title="Lengths", x_label="tokens", y_label="samples", edges=(0, 10, 20), counts=(3, 5))


@pytest.mark.parametrize("figure", [line_chart(((1, 2), (2, 1))), BARS, HISTOGRAM], ids=lambda f: type(f).__name__)
def test_a_chart_says_what_it_shows(figure):
    root = parsed(figure)
    assert root.get("role") == "img"
    title, description = root.find("title"), root.find("desc")
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text == figure.title
    assert description.text


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\" onload='x'", "a & b", "x\x00y"])
def test_labels_are_escaped(text):
    chart = LineChart(title=text, x_label=text, y_label=text, lines=(Line(name=text, points=((0, 0), (1, 1))),) * 2)
    bars = GroupedBars(title=text, y_label=text, groups=(text,), series=((text, (1.0,)),))
    for figure in (chart, bars):
        root = parsed(figure)
        assert not list(root.iter("script"))
        assert all(name not in ("onload", "onclick") for element in root.iter() for name in element.attrib)


def test_bars_have_the_height_of_their_values_and_none_has_no_bar():
    heights = {
        bar.find("title").text: float(bar.get("height"))
        for bar in parsed(BARS).iter("rect")
        if bar.find("title") is not None
    }
    assert set(heights) == {"easy-vqa, blind: 0.5", "easy-vqa, stage 2: 0.9", "digits, stage 2: 0.8"}
    assert heights["easy-vqa, stage 2: 0.9"] / heights["easy-vqa, blind: 0.5"] == pytest.approx(1.8, rel=1e-2)


def test_histogram_bars_follow_counts():
    bars = [bar for bar in parsed(HISTOGRAM).iter("rect") if bar.find("title") is not None]
    assert [bar.find("title").text for bar in bars] == ["0 to 10: 3", "10 to 20: 5"]
    assert float(bars[1].get("height")) / float(bars[0].get("height")) == pytest.approx(5 / 3, rel=1e-2)


def test_a_histogram_needs_one_more_edge_than_counts():
    with pytest.raises(ValueError, match="2 counts need 3 edges"):
        Histogram(title="t", x_label="x", y_label="y", edges=(0, 1), counts=(1, 2)).svg("f")


def test_every_point_is_inside_the_frame():
    chart = line_chart(tuple((step, math.sin(step) * 1e3) for step in range(50)), y_low=None)
    for path in parsed(chart).iter("polyline"):
        for pair in path.get("points").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= chart.width
            assert 0 <= y <= chart.height


def test_long_curves_are_thinned_but_keep_their_spikes():
    points = tuple((float(step), 50.0 if step == 7001 else 1.0) for step in range(20_000))
    path = next(parsed(line_chart(points)).iter("polyline")).get("points").split()
    assert len(path) <= MAX_POINTS
    assert min(float(pair.split(",")[1]) for pair in path) == pytest.approx(14.0)  # the top of the plot


def test_values_that_are_not_finite_are_left_out_and_counted():
    root = parsed(line_chart(((1, 2.0), (2, math.nan), (3, math.inf), (4, 1.0))))
    assert "2 values that are not finite are left out" in root.find("desc").text
    assert "nan" not in ElementTree.tostring(root).decode()


@pytest.mark.parametrize("points", [(), ((1, math.nan),)])
def test_a_chart_without_a_value_says_so(points):
    assert "nothing to show" in "".join(parsed(line_chart(points)).itertext())


@pytest.mark.parametrize("points", [((3, 0.7),), ((3, 0.0), (4, 0.0)), ((3, 5.0), (4, 5.0))])
def test_flat_and_single_curves_can_be_drawn(points):
    assert next(parsed(line_chart(points)).iter("polyline")) is not None


def test_ticks_are_round_and_cover_the_values():
    scale = make_scale(0.03, 0.97, 0, 100)
    assert scale.ticks == pytest.approx((0, 0.2, 0.4, 0.6, 0.8, 1.0))
    assert (scale.at(scale.low), scale.at(scale.high)) == (0, 100)
    assert make_scale(0, 3, 0, 1, whole=True).ticks == (0, 1, 2, 3)
    assert [nice_step(span, 5) for span in (1, 7, 90, 12_000)] == pytest.approx([0.2, 2, 20, 2500])


def test_an_axis_needs_finite_ends():
    with pytest.raises(ValueError, match="finite"):
        make_scale(0, math.inf, 0, 1)


def test_numbers_are_short():
    assert [plain_number(value) for value in (0, 0.5, 1000, 2e-5, 1e7, -3)] == [
        "0",
        "0.5",
        "1,000",
        "2e-5",
        "10M",
        "-3",
    ]
    assert percent_label(0.125) == "12.5 %"
