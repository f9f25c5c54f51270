"""Rows are followed from source to training; a gap is an error that names source and step."""

import json

import pytest

from data.errors import AerieError
from data.ledger import StepCount
from data.ledger_report import IN_NO_STAGE, Drop, ledger_flow


def count(source, rows_in, rows_out, added=0, **dropped):
    return StepCount(source=source, rows_in=rows_in, rows_out=rows_out, rows_added=added, dropped=dropped)


CATEGORIES = {"shapes": "general_vqa", "lines": "naive_ocr", "digits": "naive_ocr"}
# By hand. shapes: 10 read, 1 corrupt, 2 duplicates, 7 trained. lines: 5 read, 1 added, 1 too long, 5 trained.
# digits: 4 read, all rejected by the gate, so that later steps never see them.
CHAIN = [
    ("sourcing", (count("shapes", 10, 9, corrupt_image=1), count("lines", 5, 5), count("digits", 4, 4))),
    ("gate", (count("shapes", 9, 7, near_duplicate=2), count("lines", 5, 5), count("digits", 4, 0, gate_rejected=4))),
    ("augmentation", (count("shapes", 7, 7), count("lines", 5, 6, added=1))),
]
STAGES = {
    "stage_1": (count("shapes", 7, 2, not_in_stage=5), count("lines", 6, 1, not_in_stage=4, too_long=1)),
    "stage_1_5": (count("shapes", 7, 7), count("lines", 6, 5, too_long=1)),
}


def test_every_row_read_is_trained_or_dropped_with_step_and_reason():
    shapes, lines, digits = ledger_flow(CHAIN, STAGES, CATEGORIES).sources
    assert (shapes.read, shapes.added, shapes.trained, shapes.lost) == (10, 0, 7, 3)
    assert shapes.dropped == (Drop("sourcing", "corrupt_image", 1), Drop("gate", "near_duplicate", 2))
    assert (lines.read, lines.added, lines.trained) == (5, 1, 5)
    assert lines.dropped == (Drop("packing", "too_long", 1),)
    assert lines.stages == {"stage_1": 1, "stage_1_5": 5}
    assert (digits.read, digits.trained, digits.dropped) == (4, 0, (Drop("gate", "gate_rejected", 4),))
    assert shapes.after == {"sourcing": 9, "gate": 7, "augmentation": 7}


def test_categories_and_the_total_close_too():
    flow = ledger_flow(CHAIN, STAGES, CATEGORIES)
    general, ocr = flow.categories()
    assert (general.source, ocr.source) == ("shapes", "lines, digits")
    assert (ocr.read, ocr.added, ocr.trained, ocr.lost) == (9, 1, 5, 5)
    total = flow.total()
    assert total.read + total.added == total.trained + total.lost == 20
    assert flow.document()["total"]["lost"] == 8


def test_a_row_trained_in_another_stage_than_the_widest_counts_as_trained():
    lines = ledger_flow(CHAIN, STAGES, CATEGORIES, {"shapes": 7, "lines": 6}).sources[1]
    assert (lines.trained, lines.dropped) == (6, ())
    narrow = {"stage_1": STAGES["stage_1"]}
    lines = ledger_flow(CHAIN, narrow, CATEGORIES, {"shapes": 2, "lines": 3}).sources[1]
    assert lines.dropped == (Drop("packing", IN_NO_STAGE, 3),)


def replaced(step, source, new):
    return [
        (name, tuple(new if name == step and item.source == source else item for item in counts))
        for name, counts in CHAIN
    ]


def test_rows_lost_between_two_steps_are_named():
    chain = replaced("gate", "shapes", count("shapes", 8, 7, near_duplicate=1))
    with pytest.raises(AerieError, match=r"'sourcing' and 'gate' for source 'shapes': 9 rows leave, 8 enter"):
        ledger_flow(chain, STAGES, CATEGORIES)


def test_a_step_that_forgets_a_source_is_named():
    chain = [(step, counts[1:] if step == "augmentation" else counts) for step, counts in CHAIN]
    with pytest.raises(AerieError, match=r"'gate' and 'augmentation' for source 'shapes': 7 rows leave, 0 enter"):
        ledger_flow(chain, STAGES, CATEGORIES)


def test_rows_lost_within_a_step_are_named():
    chain = replaced("gate", "shapes", count("shapes", 9, 7))
    with pytest.raises(AerieError, match="'gate' does not close for source 'shapes'"):
        ledger_flow(chain, STAGES, CATEGORIES)


def test_rows_lost_before_packing_or_training_are_named():
    with pytest.raises(AerieError, match="'packing/stage_1' for source 'lines'"):
        ledger_flow(CHAIN, {"stage_1": (STAGES["stage_1"][0], count("lines", 5, 5))}, CATEGORIES)
    trained = {"stage_1_5": (count("shapes", 7, 7), count("lines", 4, 4))}
    with pytest.raises(AerieError, match=r"'packing/stage_1_5' and 'stage_1_5' for source 'lines': 5 rows leave, 4"):
        ledger_flow(CHAIN, STAGES, CATEGORIES, training=trained)


def test_more_rows_trained_than_came_in_is_an_error():
    with pytest.raises(AerieError, match="step 'packing' for source 'shapes': 8 rows are trained"):
        ledger_flow(CHAIN, STAGES, CATEGORIES, {"shapes": 8, "lines": 5})


def test_a_source_that_the_recipe_does_not_list_is_named():
    with pytest.raises(AerieError, match=r"'sourcing' counts the sources \['digits'\]"):
        ledger_flow(CHAIN, STAGES, {"shapes": "general_vqa", "lines": "naive_ocr"})


def test_the_document_is_plain():
    document = json.loads(json.dumps(ledger_flow(CHAIN, STAGES, CATEGORIES).document()))
    assert document["sources"]["lines"]["dropped"] == [{"step": "packing", "reason": "too_long", "rows": 1}]
