"""Hours of curation at the paper's size."""

import pytest

from pipelines import curation_hours as hours
from pipelines.scale_limits import CATEGORIES


def test_the_gate_compares_each_pair_of_a_category_once():
    found = hours.curation_hours(900)
    pairs = CATEGORIES * 100 * 100 / 2
    assert found.gate * 3600 * hours.GATE_FLOPS == pytest.approx(pairs * 2 * (512 + 768))


def test_embedding_grows_with_the_samples_and_the_gate_with_their_square():
    one, ten = hours.curation_hours(1_000_000), hours.curation_hours(10_000_000)
    assert ten.embedding == pytest.approx(10 * one.embedding)
    assert ten.gate == pytest.approx(100 * one.gate)


def test_the_parts_make_the_total():
    found = hours.curation_hours(21_600_000)
    assert sum(found.rows().values()) == pytest.approx(found.total)
