"""The ledger as CSV says what the flow says, and adds up."""

import csv
import io
from collections import Counter

from data.ledger import StepCount
from data.ledger_csv import COLUMNS, ledger_csv
from data.ledger_report import ledger_flow


def flow(name="shapes"):
    chain = [
        ("sourcing", (StepCount(source=name, rows_in=10, rows_out=8, dropped={"bad, row": 2}),)),
        ("augmentation", (StepCount(source=name, rows_in=8, rows_out=9, rows_added=1),)),
    ]
    stages = {
        "stage_1": (StepCount(source=name, rows_in=9, rows_out=4, dropped={"not_in_stage": 5}),),
        "stage_2": (StepCount(source=name, rows_in=9, rows_out=8, dropped={"too_long": 1}),),
    }
    return ledger_flow(chain, stages, {name: "general_vqa"})


def rows(payload):
    return list(csv.DictReader(io.StringIO(payload.decode())))


def test_every_figure_has_a_line_and_the_sums_close():
    found = rows(ledger_csv(flow()))
    assert tuple(found[0]) == COLUMNS
    assert {(row["kind"], row["step"], row["reason"], row["rows"]) for row in found} == {
        ("read", "", "", "10"),
        ("added", "", "", "1"),
        ("dropped", "sourcing", "bad, row", "2"),
        ("dropped", "packing", "too_long", "1"),
        ("trained", "", "", "8"),
        ("stage", "stage_1", "", "4"),
        ("stage", "stage_2", "", "8"),
    }
    kinds = Counter()
    for row in found:
        kinds[row["kind"]] += int(row["rows"])
    assert kinds["read"] + kinds["added"] == kinds["trained"] + kinds["dropped"]


def test_a_name_is_never_a_formula():
    assert {row["source"] for row in rows(ledger_csv(flow("=1+1")))} == {"'=1+1"}
