"""Averages against sums made by hand."""

import pytest

from data.errors import AerieError
from model.evaluation.benchmarks.averages import average, averages, missing

SCORES = {
    "docvqa": 92.0,
    "chartqa": 86.0,
    "infovqa": 77.0,
    "textvqa": 83.0,
    "ocrbench": 868.0,
    "mmstar": 62.0,
    "realworldqa": 69.0,
    "ai2d": 84.0,
    "mmmu": 56.0,
    "mmbench-v11": 80.0,
    "mmvet": 62.0,
    "hallusionbench": 49.0,
    "mathvista": 64.0,
}


def test_the_mean_of_thirteen_takes_a_tenth_of_ocrbench():
    assert average(SCORES) == pytest.approx((92 + 86 + 77 + 83 + 86.8 + 62 + 69 + 84 + 56 + 80 + 62 + 49 + 64) / 13)
    assert average(SCORES, "opencompass") == pytest.approx((80 + 62 + 56 + 64 + 49 + 84 + 86.8 + 62) / 8)
    assert missing(SCORES) == ()


def test_what_is_missing_is_named_and_never_counted_as_zero():
    some = {**SCORES, "mmvet": None}
    del some["docvqa"]
    assert average(some) is None
    assert missing(some) == ("docvqa", "mmvet")
    assert average(some, "opencompass") is None
    assert missing(some, "opencompass") == ("mmvet",)
    assert average({**some, "mmvet": 0.0}, "opencompass") is not None


def test_averages_by_rule_set_leave_out_what_they_do_not_count():
    found = averages({"eagle2": {**SCORES, "local-docvqa": 4000.0}, "lmms-eval": {**SCORES, "mmvet": None}})
    assert found["eagle2"] == {"rules": {"eagle2": average(SCORES), "lmms-eval": None}, "missing": ["mmvet"]}
    assert set(found) == {"eagle2", "opencompass"}
    assert averages({"eagle2": {"local-docvqa": 50.0}}) == {}


@pytest.mark.parametrize("wrong", [{"docvqa": 868.0}, {"ocrbench": 1001.0}, {"mmmu": float("nan")}, {"mme": 1.0}])
def test_a_score_out_of_range_or_unknown_is_refused(wrong):
    with pytest.raises(AerieError, match=next(iter(wrong))):
        average({**SCORES, **wrong})
    with pytest.raises(AerieError, match="opencompass"):
        average(SCORES, "thirteen")
