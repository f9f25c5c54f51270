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
