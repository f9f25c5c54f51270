"""The loss: how much each answer token weighs, normalised over the global batch."""

from typing import Literal

import numpy as np
import torch
from torch import nn

from model.cross_entropy import linear_cross_entropy
from model.inputs.batch import IGNORE_INDEX

Reduction = Literal["sqrt", "token", "sample"]


def token_weights(labels: np.ndarray, cu_seqlens: np.ndarray, reduction: Reduction) -> tuple[np.ndarray, float]:
    """Weights float32 [T] of the tokens' losses in a pack, and the pack's share of the denominator.

    With n_i answer tokens in sample i, the loss of a global batch is sum(weight * loss) / sum(denominator):
    `sqrt`: sum_i (sum_t l_it / sqrt(n_i)) / sum_i sqrt(n_i) (the reference's and InternVL's rule); `token`: the mean
    over tokens; `sample`: the mean over samples of their mean. Samples without answer tokens count nothing.
    A sample's first token never counts.
    """
    counted = _counted(labels, cu_seqlens)
    sequence = np.repeat(np.arange(len(cu_seqlens) - 1), np.diff(cu_seqlens))
    answers = np.bincount(sequence[counted], minlength=len(cu_seqlens) - 1).astype(np.float64)
    answered = answers > 0
    power = {"sqrt": 0.5, "token": 0.0, "sample": 1.0}[reduction]
    per_sample = np.where(answered, np.maximum(answers, 1) ** -power, 0.0)
    weights = np.where(counted, per_sample[sequence], 0.0).astype(np.float32)
    return weights, float((answers[answered] ** (1 - power)).sum())


def answer_positions(labels: np.ndarray, cu_seqlens: np.ndarray) -> np.ndarray:
    """The tokens of a pack whose prediction counts, int64 [N] ascending: the answers' but for a sample's first one."""
    return np.flatnonzero(_counted(labels, cu_seqlens))


def sample_denominators(weights: np.ndarray, cu_seqlens: np.ndarray) -> np.ndarray:
    """Each sample's share of the pack's denominator, float64 [S]: under every rule the sum of its tokens' weights."""
    sequence = np.repeat(np.arange(len(cu_seqlens) - 1), np.diff(cu_seqlens))
    return np.bincount(sequence, weights=weights, minlength=len(cu_seqlens) - 1)


def token_losses(
    hidden: torch.Tensor, head: nn.Module, labels: torch.Tensor, weights: torch.Tensor, answers: torch.Tensor
) -> torch.Tensor:
    """weights[t] * cross entropy of labels[t] predicted from hidden[t - 1], float32 [N], for the tokens `answers` [N].

    hidden [T, D], labels and weights [T]. Logits are made for those tokens only: answers are a small part of a pack.
    """
    losses = linear_cross_entropy(hidden[answers - 1], head, labels[answers])
    return losses * weights[answers]


def _counted(labels: np.ndarray, cu_seqlens: np.ndarray) -> np.ndarray:
    """Bool [T]. A sample's first token has no predecessor that predicts it and never counts."""
    counted = labels != IGNORE_INDEX
    counted[cu_seqlens[:-1]] = False
    return counted
