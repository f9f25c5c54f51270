"""Sums close, or the gap is named."""

import pytest

from data.errors import AerieError
from data.ledger import StepCount, Tally


def test_a_closed_tally_gives_one_count_per_source():
    tally = Tally("demo")
    tally.take("b", 3)
    tally.keep("b", 1)
    tally.drop("b", "too_long", 2)
    tally.add("a")
    tally.keep("a")
    assert tally.counts() == (
        StepCount(source="a", rows_in=0, rows_out=1, rows_added=1),
        StepCount(source="b", rows_in=3, rows_out=1, dropped={"too_long": 2}),
    )


def test_a_lost_row_is_an_error_that_names_step_and_source():
    tally = Tally("filtering")
    tally.take("easy-vqa", 2)
    tally.keep("easy-vqa", 1)
    with pytest.raises(AerieError, match="'filtering' does not close for source 'easy-vqa'"):
        tally.counts()


def test_tallies_of_shards_add_up():
    whole, part = Tally("s"), Tally("s")
    whole.take("a", 2)
    whole.keep("a", 2)
    part.take("a", 3)
    part.drop("a", "empty", 2)
    part.keep("a")
    part.take("b")
    part.add("b", 2)
    part.keep("b", 3)
    whole.merge(part)
    assert [(c.source, c.rows_in, c.rows_added, c.rows_out, c.dropped) for c in whole.counts()] == [
        ("a", 5, 0, 3, {"empty": 2}),
        ("b", 1, 2, 3, {}),
    ]
    part.drop("a", "empty")
    assert whole.counts()[0].dropped == {"empty": 2}
