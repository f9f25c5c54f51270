"""The loss: how much each answer token weighs, normalised over the global batch."""

from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from model.inputs.batch import IGNORE_INDEX

Reduction = Literal["sqrt", "token", "sample"]


def token_weights(labels: np.ndarray, cu_seqlens: np.ndarray, reduction: Reduction) -> tuple[np.ndarray, float]:
    """Weights float32 [T] of the tokens' losses in a pack, and the pack's share of the denominator.

    With n_i answer tokens in sample i, the loss of a global batch is sum(weight * loss) / sum(denominator):
    `sqrt`: sum_i (sum_t l_it / sqrt(n_i)) / sum_i sqrt(n_i) (the reference's and InternVL's rule); `token`: the mean
    over tokens; `sample`: the mean over samples of their mean. Samples without answer tokens count nothing.
    A sample's first token has no predecessor that predicts it and never counts.
    """
    counted = labels != IGNORE_INDEX
    counted[cu_seqlens[:-1]] = False
    sequence = np.repeat(np.arange(len(cu_seqlens) - 1), np.diff(cu_seqlens))
    answers = np.bincount(sequence[counted], minlength=len(cu_seqlens) - 1).astype(np.float64)
    answered = answers > 0
    power = {"sqrt": 0.5, "token": 0.0, "sample": 1.0}[reduction]
    per_sample = np.where(answered, np.maximum(answers, 1) ** -power, 0.0)
    weights = np.where(counted, per_sample[sequence], 0.0).astype(np.float32)
    return weights, float((answers[answered] ** (1 - power)).sum())


def weighted_loss(hidden: torch.Tensor, head: nn.Module, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """sum_t weights[t] * cross entropy of labels[t] predicted from hidden[t - 1]; hidden [T, D], the rest [T].

    Logits are made for the counted tokens only: answers are a small part of a pack.
    """
    counted = weights.nonzero().squeeze(1)
    logits = head(hidden[counted - 1]).float()
    losses = F.cross_entropy(logits, labels[counted], reduction="none")
    return (losses * weights[counted]).sum()
