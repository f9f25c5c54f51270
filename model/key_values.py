"""Keys and values of a batch in fixed places: a decoding step is the same kernels on the same memory every time.

Two attentions for transformers by name. Prefill takes prompts as one pack (`model.attention`), so nothing is padded;
a step takes one token of each row. Both put what they were given into the cache themselves: transformers' caches grow
by copying, or ask the device how full they are.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface

from model.attention import packed_attention

PREFILL_ATTENTION, STEP_ATTENTION = "aerie_prefill", "aerie_step"


class KeyValues:
    """Room for `places` tokens in every layer: [layers, 2, places, kv heads, d], keys before values.

    A batch of B rows and T columns takes the first B * T places, row b those from b * T.
    """

    def __init__(self, language: Any, places: int) -> None:
        config, self.places = language.config, places
        shape = (config.num_hidden_layers, 2, places, config.num_key_value_heads, head_size(config))
        # zeros, because a row's places beyond its last token are multiplied by a weight of 0: not by NaN, please
        self.memory = torch.zeros(shape, dtype=language.dtype, device=language.device)

    def write(self, layer: int, places: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        """Put key and value [b, kv heads, t, d] of N = b * t tokens at `places` (int64 [N])."""
        for memory, new in zip(self.memory[layer], (key, value), strict=True):
            memory.index_copy_(0, places, new.transpose(1, 2).flatten(0, 1))

    def grids(self, layer: int, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values [rows, kv heads, columns, d], as views."""
        used = self.memory[layer, :, : rows * columns].unflatten(1, (rows, columns)).transpose(2, 3)
        return used[0], used[1]


def head_size(config: Any) -> int:
    """d of a decoder's configuration."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def bytes_per_token(language: Any) -> int:
    """What one token takes in `KeyValues`, all layers together."""
    config = language.config
    numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * head_size(config)
    return int(numbers * language.dtype.itemsize)


def prefill_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    key_values: KeyValues,
    places: torch.Tensor,
    **borders: Any,
) -> tuple[torch.Tensor, None]:
    """`packed_attention` of a pack of prompts [1, heads, N, d], whose keys and values are kept at `places` [N]."""
    key_values.write(_layer(module), places, key, value)
    return packed_attention(module, query, key, value, attention_mask, **borders)


def step_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    key_values: KeyValues,
    places: torch.Tensor,
    bias: torch.Tensor,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Query [B, heads, 1, d], key and value [B, kv heads, 1, d] of each row's newest token to output [B, 1, heads, d].

    `places` [B] are the tokens' own; `bias` [B, T] is 0 where a row may look and -inf elsewhere. The query heads that
    share a key head stand as its queries, so that nothing of the cache is repeated for them.
    """
    key_values.write(_layer(module), places, key, value)
    (rows, columns), kv_heads = bias.shape, key.shape[1]
    keys, values = key_values.grids(_layer(module), rows, columns)
    grouped = query.reshape(rows, kv_heads, -1, query.shape[-1])
    output = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=bias[:, None, None], scale=scaling)
    return output.reshape(rows, 1, query.shape[1], -1), None


def _layer(module: nn.Module) -> int:
    return int(module.layer_idx)  # type: ignore[arg-type]


AttentionInterface.register(PREFILL_ATTENTION, prefill_attention)
AttentionInterface.register(STEP_ATTENTION, step_attention)
