"""Learning rates and packs by step."""

import pytest

from model.recipe import StageSettings
from model.training.schedule import learning_rate, rank_packs, step_packs, total_steps


def settings(**changes) -> StageSettings:
    return StageSettings(**{"learning_rate": 1e-3, "packs_per_step": 4, **changes})


def test_the_rate_warms_up_peaks_and_falls_to_the_floor():
    stage = settings(warmup_ratio=0.1, min_learning_rate_ratio=0.2)
    rates = [learning_rate(step, 100, stage) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[9] == pytest.approx(1e-3)
    assert rates[10] == pytest.approx(1e-3)
    assert rates[55] == pytest.approx(1e-3 * (0.2 + 0.8 * 0.5))
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(2e-4, rel=0.01)
    assert learning_rate(100, 100, stage) == pytest.approx(2e-4)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_short_stage_still_learns(steps):
    assert all(learning_rate(step, steps, settings(warmup_ratio=0.03)) > 0 for step in range(steps))


def test_no_warm_up_starts_at_the_peak():
    assert learning_rate(0, 10, settings(warmup_ratio=0.0)) == pytest.approx(1e-3)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_every_pack_counts_once_and_ranks_keep_step(world):
    stage, packs, seen = settings(), 10, []
    for step in range(total_steps(packs, stage)):
        numbers = step_packs(step, packs, stage)
        shares = [rank_packs(numbers, rank, world) for rank in range(world)]
        assert len({len(share) for share in shares}) == 1, "a collective would hang"
        seen += sorted(number for share in shares for number, counts in share if counts)
    assert seen == list(range(packs))


def test_a_rank_without_a_pack_repeats_the_first_with_no_weight():
    assert rank_packs(range(8, 9), 0, 2) == [(8, True)]
    assert rank_packs(range(8, 9), 1, 2) == [(8, False)]
