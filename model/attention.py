"""Attention inside a pack: causal within each sample, never across samples. Plugs into transformers by name."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface

PACKED_ATTENTION = "aerie_packed"


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    sequence: torch.Tensor,
    positions: torch.Tensor,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Query [1, heads, T, d], key and value [1, kv heads, T, d] of one pack to output [1, T, heads, d].

    `sequence` [T] numbers the samples, `positions` [T] count inside each. The samples are laid side by side as rows
    [S, heads, longest, d]; padding stands on the right, where a causal query never looks, so no mask is needed and
    the cost is that of the samples, not of the pack squared. Only attention sees padding.
    """
    rows, longest = int(sequence[-1]) + 1, int(positions.max()) + 1

    def spread(packed: torch.Tensor) -> torch.Tensor:
        grid = packed.new_zeros(rows, longest, packed.shape[1], packed.shape[3])
        return grid.index_put((sequence, positions), packed[0].transpose(0, 1)).transpose(1, 2)

    output = F.scaled_dot_product_attention(
        spread(query),
        spread(key),
        spread(value),
        is_causal=True,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return output.transpose(1, 2)[sequence, positions].unsqueeze(0), None


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
# The samples' borders travel as keyword arguments; a mask would be T x T numbers that nobody reads.
AttentionMaskInterface.register(PACKED_ATTENTION, lambda *args, **kwargs: None)
