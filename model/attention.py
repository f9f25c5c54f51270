"""Attention inside a pack: causal within each sample, never across samples. Plugs into transformers by name.

One interface, two implementations with the same result: flash attention over the packed tokens on a GPU, the samples
as rows elsewhere. The samples' borders are made once per pack on the CPU and travel through the decoder as keyword
arguments, so no layer waits for the device to learn a size.
"""

import inspect
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

PACKED_ATTENTION = "aerie_packed"
# The decoder's `attention_mask`, as if prepared by the caller: the samples' borders say it all, a mask would be T x T
# numbers that nobody reads, and to make one transformers asks the device whether the positions restart.
NO_MASK: dict[str, None] = {"full_attention": None}
FLASH_TYPES = (torch.bfloat16, torch.float16)
# torch 2.11 takes fewer key heads than query heads as they come; from 2.12 on it wants to be told.
_GROUPED: dict[str, Any] = {"enable_gqa": True} if "enable_gqa" in inspect.signature(varlen_attn).parameters else {}


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    cu_seqlens: torch.Tensor,
    max_seqlen: int,
    sequence: torch.Tensor,
    positions: torch.Tensor,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Query [1, heads, T, d], key and value [1, kv heads, T, d] of one pack to output [1, T, heads, d].

    `cu_seqlens` int32 [S + 1] are the samples' borders, `max_seqlen` the longest one's length; `sequence` [T] numbers
    the samples, `positions` [T] count inside each. `scaling` defaults to 1 / sqrt(d).
    """
    if takes_flash(query):
        # [T, heads, d] each: what the projections wrote, before transformers transposed it
        query, key, value = (part[0].transpose(0, 1) for part in (query, key, value))
        borders: tuple[Any, ...] = (cu_seqlens, cu_seqlens, max_seqlen, max_seqlen)
        output: Any = varlen_attn(query, key, value, *borders, scale=scaling, window_size=(-1, 0), **_GROUPED)
        return output.unsqueeze(0), None
    rows = len(cu_seqlens) - 1
    return attention_by_rows(query, key, value, sequence, positions, rows, max_seqlen, scaling), None


def takes_flash(query: torch.Tensor) -> bool:
    """Whether flash attention can run: half precision, a head size that its kernels have, Ampere or newer."""
    return (
        query.is_cuda
        and query.dtype in FLASH_TYPES
        and query.shape[-1] % 8 == 0
        and query.shape[-1] <= 256
        and _ampere_or_newer(query.device)
    )


@torch.compiler.assume_constant_result
def _ampere_or_newer(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device)[0] >= 8


def attention_by_rows(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sequence: torch.Tensor,
    positions: torch.Tensor,
    rows: int,
    longest: int,
    scaling: float | None,
) -> torch.Tensor:
    """The exact way for any device and precision: samples side by side as rows [S, heads, longest, d].

    Padding stands on the right, where a causal query never looks, so no mask is needed and the cost is that of
    `rows` samples of the longest one's length, not of the pack squared. Only attention sees padding.
    """

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
    return output.transpose(1, 2)[sequence, positions].unsqueeze(0)


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
