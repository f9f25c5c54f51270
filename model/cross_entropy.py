"""Cross entropy of a head with very many outputs, a block of tokens at a time."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

BLOCK = 1024  # tokens: of 152k outputs their logits are 0.6 GB in float32


def linear_cross_entropy(hidden: torch.Tensor, head: nn.Module, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy [N] in float32 of `labels` [N] under the logits head(hidden), hidden [N, D].

    The logits of a block exist only while it is computed, and again in the backward pass: never those of all tokens.
    The second product costs a third of the head's own work, which is small where few tokens are answers.
    """
    if len(labels) <= BLOCK:
        return _losses(hidden, head, labels)
    blocks = zip(hidden.split(BLOCK), labels.split(BLOCK), strict=True)
    return torch.cat([checkpoint(_losses, block, head, wanted, use_reentrant=False) for block, wanted in blocks])


def _losses(hidden: torch.Tensor, head: nn.Module, labels: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(head(hidden).float(), labels, reduction="none")
