"""How long the launcher waits between tries, and when it stops trying."""

from random import Random

import pytest
from trainjob_cases import Time

from components.trainjob_patience import ClusterError, Patience, Waiting, back_off
from data.errors import AerieError


def test_back_off_doubles_is_spread_and_capped():
    waiting = Waiting(first=1.0, longest=60.0)
    for failures, full in ((1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (500, 60)):
        drawn = [back_off(failures, waiting, Random(seed)) for seed in range(50)]
        assert all(full / 2 <= seconds <= full for seconds in drawn)
        assert len(set(drawn)) > 40
    assert back_off(3, waiting, Random(1)) == back_off(3, waiting, Random(1))


@pytest.mark.parametrize(("asked", "least", "most"), [(7, 7, 7.7), (10_000, 300, 330), (0, 0.5, 1)])
def test_retry_after_is_a_lower_bound_within_reason(asked, least, most):
    assert least <= back_off(1, Waiting(), Random(2), asked) <= most


def test_one_answer_makes_failures_forgotten():
    time = Time()
    patience = time.patience(give_up_after=100.0, longest=10.0)
    for _ in range(50):
        patience.failed(ClusterError(500, "no"))
        patience.answered()
    assert max(time.slept) <= 1.0


@pytest.mark.parametrize("status", [0, 404, 409, 410, 429, 500, 503])
def test_trying_is_bounded(status):
    patience = Time().patience(give_up_after=100.0)
    with pytest.raises(AerieError, match=r"no usable answer from the API server for 2 min \(last: no\)"):
        patience.insist(lambda: (_ for _ in ()).throw(ClusterError(status, "no")))


def test_real_patience_uses_real_time():
    patience = Patience.real("x")
    assert patience.clock() <= patience.clock()
    patience.sleep(0)
