"""Every chart rule on random charts; the answers are computed again from the question's own words."""

import random
import re
from collections import defaultdict
from fractions import Fraction

import pytest

from data.curation import augmentation_charts as charts
from data.schema import Turn, make_sample

RULES = [
    *(charts.chart_average, charts.chart_compare, charts.chart_count_above, charts.chart_difference),
    *(charts.chart_max, charts.chart_min, charts.chart_sum, charts.chart_trend),
]


def sample_with(chart, tasks=("open",), question="q"):
    turns = tuple(
        turn for _ in tasks for turn in (Turn(role="user", content=question), Turn(role="assistant", content="a"))
    )
    meta = {"chart": chart, "tasks": list(tasks)}
    return make_sample(source="s", category="chart_table", images=(), conversations=turns, meta=meta)


def random_chart(rng):
    size, digits = rng.randint(2, 7), rng.randint(0, 3)
    labels = [str(2000 + number) for number in range(size)] if rng.random() < 0.5 else list("abcdefg")[:size]
    values = [f"{rng.uniform(-20, 1500):,.{digits}f}" for _ in labels]
    return {"x": "year", "y": "price", "labels": labels, "values": values, "kind": rng.choice(["bar", "line"])}


def solve(question, chart):
    """The answer as someone would find it who reads the question and looks at the chart."""
    values = {
        label: Fraction(value.replace(",", "")) for label, value in zip(chart["labels"], chart["values"], strict=True)
    }
    # Names are looked for as whole words; "a" is also an article, so only names after the first word count.
    named = [label for label in re.findall(r"\w+", question.partition(" ")[2]) if label in values]
    if re.search("rise, fall", question):
        gap = values[named[-1]] - values[named[0]]
        return "rise" if gap > 0 else "fall" if gap < 0 else "stay the same"
    if re.search("average|mean", question):
        return float(sum(values.values()) / len(values))
    if re.search("sum|add up", question):
        return sum(values[name] for name in named)
    if re.search("difference|differ", question):
        return abs(values[named[0]] - values[named[1]])
    if "How many marks" in question or "how many marks" in question:
        return sum(value > values[named[-1]] for value in values.values())
    among = named if " or " in question else list(values)
    pick = max if re.search("highest|largest|higher", question) else min
    return pick(among, key=values.get)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_answers_are_true_and_phrasings_vary(rule):
    shapes = defaultdict(int)
    for seed in range(400):
        rng = random.Random(seed)
        chart = random_chart(rng)
        turn = rule(sample_with(chart), rng)
        if turn is None:
            continue
        want = solve(re.sub(r"\ba\b(?= (?:higher|mark))", "", turn.question), chart)
        if isinstance(want, float):
            digits = len(turn.answer.partition(".")[2])
            assert f"to {digits} decimal" in turn.question
            assert abs(float(turn.answer) - want) <= 0.5 * 10**-digits + 1e-9
        elif isinstance(want, str):
            assert turn.answer == want, (turn, chart)
        else:
            assert Fraction(turn.answer) == want, (turn, chart)
            assert not re.search(r"e|\.\d*0$|^-0$", turn.answer.lower())
        assert set(turn.inputs["values"]) <= set(chart["labels"])
        shapes[" ".join(turn.question.split()[:4])] += 1
    assert sum(shapes.values()) > 100
    assert len(shapes) > 1 or rule is charts.chart_compare, shapes


def test_the_same_seed_gives_the_same_turn():
    chart = random_chart(random.Random(1))
    for rule in RULES:
        assert rule(sample_with(chart), random.Random(5)) == rule(sample_with(chart), random.Random(5))


def test_a_question_with_one_answer_is_not_asked_twice():
    chart = random_chart(random.Random(2)) | {"kind": "line"}
    for rule, task in ((charts.chart_max, "max"), (charts.chart_min, "min"), (charts.chart_trend, "trend")):
        assert rule(sample_with(chart), random.Random(0)).task == task
        assert rule(sample_with(chart, tasks=("open", task)), random.Random(0)) is None
    turn = charts.chart_sum(sample_with(chart), random.Random(0))
    assert charts.chart_sum(sample_with(chart, question=f"<image>\n{turn.question}"), random.Random(0)) is None


def chart(labels, values, **more):
    return sample_with({"x": "year", "y": "price", "labels": labels, "values": values, **more})


def test_ties_gaps_and_unordered_labels():
    rng = random.Random(0)
    assert charts.chart_max(chart(["a", "b", "c"], ["2", "2.0", "1"]), rng) is None
    assert charts.chart_min(chart(["a", "b", "c"], ["2", "2.0", "1"]), rng).answer == "c"
    part = chart(["a", "b", "b"], ["2", "3", "1"])  # what is highest can't be told by name
    for rule in (charts.chart_max, charts.chart_min, charts.chart_average, charts.chart_count_above):
        assert rule(part, rng) is None
    assert charts.chart_trend(chart(["b", "a"], ["1", "2"], kind="bar"), rng) is None
    assert charts.chart_trend(chart(["1999", "2000"], ["1", "2"], kind="bar"), rng).answer == "rise"
    assert charts.chart_trend(chart(["b", "a"], ["2", "2.0"], kind="line"), rng).answer == "stay the same"
    assert charts.chart_count_above(chart(["b", "a"], ["1", "2"]), rng) is None


@pytest.mark.parametrize(
    ("labels", "values"),
    [(["a"], ["1"]), (["a", "b"], ["1e999999999", "1"]), (["a", "b"], [float("inf"), 1]), (["a", "b"], [None, 2])],
)
def test_charts_that_can_not_be_read(labels, values):
    assert not [rule for rule in RULES if rule(chart(labels, values), random.Random(0))]


def test_exact_where_binary_fractions_are_not():
    rng = random.Random(0)
    assert charts.chart_difference(chart(["a", "b"], ["2.3", "1.1"]), rng).answer == "1.2"
    assert charts.chart_sum(chart(["a", "b"], ["0.1", "0.2"]), rng).answer == "0.3"
    assert charts.chart_sum(chart(["a", "b"], ["-1,000", "1000"]), rng).answer == "0"
    assert charts.chart_average(chart(["a", "b"], ["1", "1.1"]), rng).answer == "1.05"
    assert charts.chart_average(chart(["a", "b", "c"], ["-0.1", "0.0", "0.1"]), rng).answer == "0.00"
