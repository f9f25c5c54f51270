"""Confidence intervals of score differences by the bootstrap over groups of questions.

Questions about the same image are right or wrong together, so whole groups are drawn, not questions (cluster
bootstrap: Davison & Hinkley 1997, section 3.8). An interval is that of the percentiles (Efron & Tibshirani 1993,
chapter 13).
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CHUNK = 1 << 21  # group numbers drawn at a time


def generator(seed: int, name: str) -> np.random.Generator:
    """Randomness of one line: the same whatever other lines there are."""
    word = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.random.default_rng([seed, word])


def paired_interval(
    differences: Floats, groups: Ints, *, confidence: float, resamples: int, random: np.random.Generator
) -> tuple[float, float] | None:
    """The interval of the mean difference [N] of question pairs; `groups` [N] numbers from 0.

    None with fewer than two groups, which say nothing about chance.
    """
    means = _means(differences, groups, resamples, random)
    return None if means is None else _percentiles(means, confidence)


def unpaired_interval(
    after: tuple[Floats, Ints],
    before: tuple[Floats, Ints],
    *,
    confidence: float,
    resamples: int,
    random: np.random.Generator,
) -> tuple[float, float] | None:
    """The interval of mean after minus mean before, each (values [N], groups [N]) drawn by itself."""
    one, other = (_means(*side, resamples, random) for side in (after, before))
    return None if one is None or other is None else _percentiles(one - other, confidence)


def _means(values: Floats, groups: Ints, resamples: int, random: np.random.Generator) -> Floats | None:
    """The mean over questions of each resample [B] of groups."""
    sizes = np.bincount(groups).astype(np.float64)
    sums = np.bincount(groups, weights=values)
    count = len(sizes)
    if count < 2:
        return None
    means, step = np.empty(resamples), max(CHUNK // count, 1)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = random.integers(0, count, (rows, count))
        means[start : start + rows] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return means


def _percentiles(means: Floats, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
