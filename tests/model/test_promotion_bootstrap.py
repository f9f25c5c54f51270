"""Intervals by hand, and how often they hold the truth."""

import itertools

import numpy as np
import pytest

from model.evaluation.promotion.bootstrap import generator, paired_interval, unpaired_interval


def interval(differences, groups=None, *, confidence=0.95, resamples=2000, seed=1, name="line"):
    differences = np.asarray(differences, dtype=float)
    groups = np.arange(len(differences)) if groups is None else np.asarray(groups)
    random = generator(seed, name)
    return paired_interval(differences, groups, confidence=confidence, resamples=resamples, random=random)


def test_a_constant_difference_has_an_interval_without_width():
    low, high = interval(np.full(30, -0.25))
    assert (low, high) == (-0.25, -0.25)


def test_one_group_says_nothing():
    assert interval([0.1, 0.2, 0.3], [0, 0, 0]) is None
    values = (np.array([1.0, 0.0]), np.array([0, 1]))
    alone = (np.array([1.0]), np.array([0]))
    assert unpaired_interval(values, alone, confidence=0.9, resamples=100, random=generator(1, "")) is None


def test_all_resamples_of_two_groups_by_hand():
    """Groups {1, 0} and {-1}: drawn twice the first, mixed, twice the second: means 1/2, 0, -1 with weights 1, 2, 1."""
    low, high = interval([1.0, 0.0, -1.0], [0, 0, 1], confidence=0.6, resamples=20_000)
    assert (low, high) == (-1.0, 0.5)
    low, high = interval([1.0, 0.0, -1.0], [0, 0, 1], confidence=0.4, resamples=20_000)
    assert (low, high) == (0.0, 0.0)


def test_every_resample_of_three_values_against_full_enumeration():
    values = np.array([0.0, 0.3, 1.0])
    means = np.array([values[list(draw)].mean() for draw in itertools.product(range(3), repeat=3)])
    expected = np.quantile(means, [0.1, 0.9])
    assert interval(values, confidence=0.8, resamples=100_000) == pytest.approx(expected, abs=1e-12)


def test_the_seed_decides_and_the_name_of_the_line():
    values = np.random.default_rng(0).normal(size=50)
    assert interval(values) == interval(values)
    assert interval(values) != interval(values, seed=2)
    assert interval(values) != interval(values, name="other")


def test_chunks_change_nothing_but_memory(monkeypatch):
    values = np.random.default_rng(0).normal(size=50)
    whole = interval(values, resamples=500)
    monkeypatch.setattr("model.evaluation.promotion.bootstrap.CHUNK", 350)
    assert interval(values, resamples=500) == whole


def test_questions_of_one_image_count_as_one():
    """Ten questions an image that agree: the interval is that of the images, not of ten times as many questions."""
    images = np.random.default_rng(3).normal(size=40)
    groups = np.repeat(np.arange(40), 10)
    low, high = interval(np.repeat(images, 10), groups)
    assert (low, high) == pytest.approx(interval(images), abs=1e-12)
    blind_low, blind_high = interval(np.repeat(images, 10))
    assert (blind_high - blind_low) < (high - low) / 2


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_coverage(confidence):
    """Groups of 1 to 4 questions that are right together: the truth lies inside about as often as was promised."""
    random, truth, inside, trials = np.random.default_rng(7), 0.05, 0, 400
    for trial in range(trials):
        sizes = random.integers(1, 5, 60)
        differences = np.repeat(truth + random.choice([-0.5, 0.5], 60), sizes)
        low, high = interval(
            differences, np.repeat(np.arange(60), sizes), confidence=confidence, resamples=400, seed=trial
        )
        inside += low <= truth <= high
    # Two standard errors of the share, and what percentiles of 60 groups lack.
    assert confidence - 0.06 < inside / trials < confidence + 0.03


def test_coverage_of_two_independent_sides():
    random, inside, trials = np.random.default_rng(8), 0, 300
    for trial in range(trials):
        after, before = random.random(80) < 0.6, random.random(50) < 0.5
        sides = [(side.astype(float), np.arange(len(side))) for side in (after, before)]
        low, high = unpaired_interval(*sides, confidence=0.9, resamples=400, random=generator(trial, "x"))
        inside += low <= 0.1 <= high
    assert 0.84 < inside / trials < 0.94
