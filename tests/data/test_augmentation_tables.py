"""Every table rule on random tables; the answers are computed again by pandas from the question's own words."""

import random
import re

import pandas as pd
import pytest

from data.curation import augmentation_tables as tables
from data.curation.augmentation_facts import table_of
from data.schema import Turn, make_sample

RULES = [
    *(tables.table_average, tables.table_cell, tables.table_count_above, tables.table_difference),
    *(tables.table_max, tables.table_min, tables.table_row_sum, tables.table_sum),
]
ROWS = ["Alba", "Bern", "Cadiz", "Delft", "Essen", "Faro"]
COLUMNS = ["Rain", "Sun", "Wind"]


def sample_with(table, question="q"):
    turns = (Turn(role="user", content=question), Turn(role="assistant", content="a"))
    return make_sample(
        source="s", category="chart_table", images=(), conversations=turns, meta={"table": table, "task": "open"}
    )


def random_table(rng):
    names = rng.sample(ROWS, rng.randint(2, 6))
    columns = rng.sample(COLUMNS, rng.randint(1, 3))
    rows = [[name, *(f"{rng.uniform(-9, 2000):,.{rng.randint(0, 2)}f}" for _ in columns), "fine day"] for name in names]
    return {"columns": ["City", *columns, "Remark"], "rows": rows}


def solve(question, table):
    frame = pd.DataFrame(table["rows"], columns=table["columns"]).set_index("City")
    numbers = frame.drop(columns="Remark").map(lambda text: round(float(text.replace(",", "")) * 100))
    words = re.findall(r"\w+", question)
    rows, columns = [w for w in words if w in numbers.index], [w for w in words if w in frame.columns]
    if re.search("sum of the column|all rows", question):
        return int(numbers[columns[0]].sum())
    if re.search("average|mean", question):
        return float(numbers[columns[0]].mean())
    if re.search("sum of|add up", question):
        return int(numbers.loc[rows[0], columns].sum())
    if re.search("difference|differ", question):
        return int(abs(numbers.loc[rows[0], columns[0]] - numbers.loc[rows[1], columns[0]]))
    if re.search("how many rows", question, re.I):
        return int((numbers[columns[0]] > numbers.loc[rows[0], columns[0]]).sum()) * 100
    if "highest" in question:
        return numbers[columns[0]].idxmax()
    if "lowest" in question:
        return numbers[columns[0]].idxmin()
    return frame.loc[rows[0], columns[0]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_answers_are_true_and_phrasings_vary(rule):
    starts = set()
    for seed in range(150):
        rng = random.Random(seed)
        table = random_table(rng)
        turn = rule(sample_with(table), rng)
        if turn is None:
            continue
        want = solve(turn.question, table)
        if isinstance(want, str):
            assert turn.answer == want, (turn, table)
        elif isinstance(want, float):
            digits = len(turn.answer.partition(".")[2])
            assert f"to {digits} decimal" in turn.question
            assert abs(float(turn.answer) - want / 100) <= 0.5 * 10**-digits + 1e-9
        else:
            assert round(float(turn.answer) * 100) == want, (turn, table)
        starts.add(re.sub("|".join(ROWS + COLUMNS), "", turn.question)[:18])
    assert len(starts) > 1


def test_a_cell_of_words_and_a_question_that_stands_there_already():
    table = {"columns": ["City", "Mayor"], "rows": [["Bern", "Anna"], ["Faro", "Rui"]]}
    turn = tables.table_cell(sample_with(table), random.Random(0))
    assert turn.answer == {"Bern": "Anna", "Faro": "Rui"}[turn.inputs["row"]]
    assert tables.table_cell(sample_with(table, turn.question), random.Random(0)) is None
    assert not [rule for rule in RULES if rule is not tables.table_cell and rule(sample_with(table), random.Random(0))]


def test_ties_have_no_extreme():
    table = {"columns": ["City", "Rain"], "rows": [["Bern", 2], ["Faro", 2.0], ["Alba", 1]]}
    assert tables.table_max(sample_with(table), random.Random(0)) is None
    assert tables.table_min(sample_with(table), random.Random(0)).answer == "Alba"


@pytest.mark.parametrize("cell", ["", None, "12 mm", "n/a", "1,00", True, "1e9", float("nan"), "9" * 40, [1]])
def test_a_column_with_anything_but_numbers_is_not_computed_with(cell):
    table = {"columns": ["City", "Rain"], "rows": [["Bern", 2], ["Faro", cell], ["Alba", 1]]}
    assert table_of(sample_with(table)).numeric == {}
    assert not [rule for rule in RULES if rule is not tables.table_cell and rule(sample_with(table), random.Random(0))]


@pytest.mark.parametrize(
    "table",
    [
        None,
        "cars.json",
        {},
        {"columns": ["a"], "rows": [["1"], ["2"]]},
        {"columns": ["a", "b"], "rows": [["x", "1"]]},
        {"columns": ["a", "b"], "rows": [["x", "1"], ["X ", "2"]]},
        {"columns": ["a", "A"], "rows": [["x", "1"], ["y", "2"]]},
        {"columns": ["a", ""], "rows": [["x", "1"], ["y", "2"]]},
        {"columns": ["a", "b"], "rows": [["x", "1"], ["y"]]},
        {"columns": ["a", "b"], "rows": ["xy", "zw"]},
        {"columns": ["a", "b"], "rows": [["x" * 61, "1"], ["y", "2"]]},
        {"columns": "ab", "rows": [["x", "1"], ["y", "2"]]},
    ],
)
def test_tables_that_can_not_be_asked_about(table):
    assert not [rule for rule in RULES if rule(sample_with(table), random.Random(0))]
