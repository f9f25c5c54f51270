"""The picture is well-formed, its figures are the ledger's, its widths proportional, and no label lies on another."""

import random
import re
from collections import Counter
from itertools import combinations
from xml.etree import ElementTree

import pytest

from data.errors import AerieError
from data.ledger import StepCount
from data.ledger_picture import MANY_REASONS, MANY_SOURCES, ledger_sankey, unchanged_steps
from data.ledger_report import ledger_flow
from data.reporting.marks import CHARACTER_WIDTH
from data.reporting.sankey import THINNEST, WIDTH, Drop, FlowStep, Sankey
from data.schema import CATEGORIES

STAGES = {"stage_1": "Stage 1", "stage_1_5": "Stage 1.5", "stage_2": "Stage 2"}
REASONS = {
    "sourcing": ["corrupt_image", "bad_row"],
    "gate": ["gate_rejected", "near_duplicate"],
    "filtering": [f"reason_{number}" for number in range(12)],
    "selection": ["over_quota"],
}


def crafted(count, largest=100_000, seed=3):
    """A closed flow of so many sources of all sizes, through every step of the graph."""
    rng = random.Random(seed)
    rows = {f"source-{number:03}": int(largest * rng.random() ** 6) for number in range(count)}
    chain = []
    for step in ("sourcing", "validation", "embedding", "gate", "filtering", "selection", "augmentation", "formatting"):
        counts = []
        for source, before in rows.items():
            dropped, left = {}, before
            for reason in REASONS.get(step, []):
                lost = int(left * rng.random() * 0.2)
                dropped[reason], left = lost, left - lost
            added = left // 20 if step == "augmentation" else 0
            counts.append(
                StepCount(source=source, rows_in=before, rows_out=left + added, rows_added=added, dropped=dropped)
            )
            rows[source] = left + added
        chain.append((step, tuple(counts)))
    packed = {
        stage: tuple(
            StepCount(source=source, rows_in=left, rows_out=int(left * part), dropped={"rest": left - int(left * part)})
            for source, left in rows.items()
        )
        for stage, part in (("stage_1", 0.15), ("stage_1_5", 0.97), ("stage_2", 0.5))
    }
    categories = {source: CATEGORIES[number % len(CATEGORIES)] for number, source in enumerate(rows)}
    return ledger_flow(chain, packed, categories)


def parsed(figure):
    return ElementTree.fromstring(str(figure.svg("f")))


def marks(root, role):
    return [element for element in root.iter() if element.get("data-role") == role]


def rows_of(elements):
    return sum(int(element.get("data-rows")) for element in elements)


@pytest.mark.parametrize("count", [1, 6, MANY_SOURCES, 60, 200])
def test_the_figures_of_the_picture_are_those_of_the_ledger(count):
    flow = crafted(count)
    total, root = flow.total(), parsed(ledger_sankey(flow, STAGES))
    assert len(marks(root, "read")) == (count if count <= MANY_SOURCES else len(CATEGORIES))
    assert rows_of(marks(root, "read")) == total.read
    assert rows_of(marks(root, "added")) == total.added
    assert rows_of(marks(root, "dropped")) == total.lost
    assert rows_of(marks(root, "end")) == total.trained
    assert [int(bar.get("data-rows")) for bar in marks(root, "stage")] == [total.stages[stage] for stage in STAGES]
    by_step = Counter()
    for band in marks(root, "dropped"):
        by_step[band.find("title").text.split(" drops ")[0]] += int(band.get("data-rows"))
    expected = Counter()
    for drop in total.dropped:
        expected[drop.step] += drop.rows
    assert by_step == +expected


def test_bands_are_as_wide_as_their_rows_and_never_thinner_than_said():
    root = parsed(ledger_sankey(crafted(60), STAGES))
    bands = marks(root, "passed") + marks(root, "dropped") + marks(root, "added")
    widths = []
    for band in bands:
        _, y0, *_ = re.findall(r"-?[\d.]+", band.get("d"))
        low = band.get("d").rstrip("Z").split(" ")[-1]
        widths.append((int(band.get("data-rows")), float(low) - float(y0)))
    most, widest = max(widths)
    for rows, width in widths:
        assert width == pytest.approx(max(widest * rows / most, THINNEST), abs=0.21)


@pytest.mark.parametrize("count", [1, 6, 12, 60, 200])
@pytest.mark.parametrize("largest", [40, 100_000, 90_000_000])
def test_no_label_lies_on_another_or_leaves_the_frame(count, largest):
    root = parsed(ledger_sankey(crafted(count, largest), STAGES))
    boxes = []
    for label in root.iter("text"):
        width, x, y = len(label.text) * CHARACTER_WIDTH, float(label.get("x")), float(label.get("y"))
        left = x - width if "end" in label.get("class") else x - width / 2 if "middle" in label.get("class") else x
        boxes.append((left, y - 9, left + width, y + 2, label.text))
    height = float(root.get("viewBox").split()[-1])
    for left, top, right, bottom, text in boxes:
        assert left >= 0 and right <= WIDTH and top >= 0 and bottom <= height, text  # noqa: PT018
    for one, other in combinations(boxes, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, (one[4], other[4])


def test_equal_flows_give_equal_bytes():
    assert ledger_sankey(crafted(30), STAGES).svg("f") == ledger_sankey(crafted(30), STAGES).svg("f")


def test_steps_without_change_have_no_bar_and_are_named():
    flow = crafted(3)
    assert [step.name for step in ledger_sankey(flow, STAGES).steps] == [
        "sourcing",
        "gate",
        "filtering",
        "selection",
        "augmentation",
        "packing",
    ]
    assert unchanged_steps(flow) == ("validation", "embedding", "formatting")


def test_many_reasons_of_a_step_are_summed():
    flow = crafted(20)
    (filtering,) = [step for step in ledger_sankey(flow, STAGES).steps if step.name == "filtering"]
    assert len(filtering.drops) == MANY_REASONS
    assert filtering.drops[-1].reason == "5 other reasons"


def test_nothing_read_and_nothing_dropped_are_pictures_too():
    empty = Sankey(title="t", groups=(), read=(), steps=(), end="trained")
    plain = Sankey(title="t", groups=("a", "b"), read=(5, 0), steps=(), end="trained")
    for figure, rows in ((empty, 0), (plain, 5)):
        root = parsed(figure)
        assert rows_of(marks(root, "end")) == rows
        assert not any("nan" in value for element in root.iter() for value in element.attrib.values())


def test_more_dropped_than_there_is_names_the_step():
    step = FlowStep(name="gate", added=(0,), drops=(Drop(reason="x", rows=(6,)),))
    with pytest.raises(AerieError, match="step 'gate' drops more rows"):
        Sankey(title="t", groups=("a",), read=(5,), steps=(step,), end="trained").svg("f")


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\" onload='x'", "a & b", "x\x00y"])
def test_names_are_escaped(text):
    step = FlowStep(name=text, added=(1,), drops=(Drop(reason=text, rows=(2,)),))
    root = parsed(Sankey(title=text, groups=(text,), read=(5,), steps=(step,), end=text, stages=((text, 3),)))
    assert not list(root.iter("script"))
    assert all(name not in ("onload", "onclick") for element in root.iter() for name in element.attrib)
