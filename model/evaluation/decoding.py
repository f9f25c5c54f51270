"""Batched greedy decoding with a KV cache: embedded prompts in, token ids out."""

from collections.abc import Sequence
from typing import Any

import torch


def left_padded(prompts: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """(embeddings [B, T, D], mask int64 [B, T]) of prompts [T_b, D], padded with zeros on the left.

    On the left, so that the last prompt token of every row stands in the last column.
    """
    length, width = max(len(prompt) for prompt in prompts), prompts[0].shape[1]
    embeddings = prompts[0].new_zeros(len(prompts), length, width)
    mask = torch.zeros(len(prompts), length, dtype=torch.long, device=embeddings.device)
    for row, prompt in enumerate(prompts):
        embeddings[row, length - len(prompt) :] = prompt
        mask[row, length - len(prompt) :] = 1
    return embeddings, mask


@torch.inference_mode()
def greedy_decode(
    language: Any, prompts: Sequence[torch.Tensor], *, end_id: int, max_new_tokens: int
) -> list[list[int]]:
    """The most likely continuation of each prompt up to (without) `end_id`, at most `max_new_tokens` tokens.

    `language` is a transformers causal language model in eval mode; `prompts` are its input embeddings [T_b, D].
    Decoding stops as soon as every row has ended. A row's result does not depend on its neighbours: positions count
    from the row's own first token and padding is masked.
    """
    embeddings, mask = left_padded(prompts)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    result = language(
        inputs_embeds=embeddings, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1
    )
    chosen: list[torch.Tensor] = []
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=embeddings.device)
    next_position = positions[:, -1:] + 1
    for step in range(max_new_tokens):
        tokens = result.logits[:, -1].argmax(-1)
        tokens = torch.where(ended, end_id, tokens)
        chosen.append(tokens)
        ended = ended | (tokens == end_id)
        if bool(ended.all()) or step == max_new_tokens - 1:
            break
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
        result = language(
            input_ids=tokens[:, None],
            attention_mask=mask,
            position_ids=next_position + step,
            past_key_values=result.past_key_values,
            use_cache=True,
        )
    rows = torch.stack(chosen, dim=1).tolist() if chosen else [[] for _ in prompts]
    return [row[: row.index(end_id)] if end_id in row else row for row in rows]
