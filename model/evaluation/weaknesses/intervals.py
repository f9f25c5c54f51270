"""How sure a mean score is, when several questions share one image."""

from collections.abc import Hashable, Sequence

import numpy as np

Z = 1.959964  # two-sided 95 %


def score_interval(scores: Sequence[float], clusters: Sequence[Hashable]) -> tuple[float, float]:
    """A 95 % interval of the mean of scores in [0, 1]; questions of one cluster count as dependent.

    Wilson's interval (1927), which holds at 0 and 1 and for few questions, over the number of independent questions
    that would be as uncertain: Kish's effective size (1965) by the variance of the mean over clusters. At a variance
    of 0 (all right, all wrong) clusters are what is independent. Raises ValueError without a score.
    """
    values = np.asarray(scores, dtype=float)
    if not len(values) or len(values) != len(clusters):
        raise ValueError(f"{len(values)} scores of {len(clusters)} clusters give no interval")
    mean = float(values.mean())
    size = _effective_size(values - mean, mean, clusters)
    centre = (mean + Z * Z / (2 * size)) / (1 + Z * Z / size)
    half = Z / (1 + Z * Z / size) * float(np.sqrt(mean * (1 - mean) / size + Z * Z / (4 * size * size)))
    return max(0.0, min(centre - half, mean)), min(1.0, max(centre + half, mean))


def _effective_size(residuals: np.ndarray, mean: float, clusters: Sequence[Hashable]) -> float:
    """Between 1 and the number of questions."""
    places = {key: place for place, key in enumerate(dict.fromkeys(clusters))}
    groups = np.array([places[key] for key in clusters])
    count, questions = len(places), len(residuals)
    sums = np.bincount(groups, weights=residuals, minlength=count)
    variance = count / (count - 1) * float(np.square(sums).sum()) / questions**2 if count > 1 else 0.0
    if variance <= 1e-12:
        return float(count)
    return min(max(mean * (1 - mean) / variance, 1.0), float(questions))
