"""The rows of tokens that a pretrained language model has never seen: where they start, and training them alone."""

from collections.abc import Sequence

import torch
from torch import nn
from transformers import Qwen2ForCausalLM


def token_tables(language: Qwen2ForCausalLM) -> list[nn.Parameter]:
    """The input and the output table [rows, D]; one when they are tied."""
    tables = [language.get_input_embeddings().weight, language.get_output_embeddings().weight]
    return tables[:1] if tables[0] is tables[1] else tables


@torch.no_grad()
def initialise_new_rows_(language: Qwen2ForCausalLM, new_ids: Sequence[int], tokens: int) -> None:
    """Set the new tokens' rows to the mean of the old tokens' rows, in the input and in the output table.

    A new token then starts as likely and as loud as the average one. The reference does so in the output table only and
    leaves the input rows at the resize's random start. `tokens` is the tokenizer's size: rows behind it are padding.
    """
    for table in token_tables(language):
        new = torch.tensor(new_ids, device=table.device)
        old = torch.ones(tokens, dtype=torch.bool, device=table.device)
        old[new] = False
        table[new] = table[:tokens][old].mean(dim=0, dtype=torch.float32).to(table.dtype)


def train_only_rows(table: nn.Parameter, ids: Sequence[int]) -> None:
    """Let only these rows of a table [rows, D] learn: the others' gradients are zeros, so Adam never moves them.

    Its two moments stay zero and 0 / (0 + eps) is 0; weight decay would still shrink every row, so the optimizer must
    be given none for this table (`model.training.freezing.parameter_groups`). The mask is part of the backward pass and
    so runs before DeepSpeed reduces or shards the gradient, at every ZeRO stage.
    """
    rows = torch.tensor(ids)

    def masked(gradient: torch.Tensor) -> torch.Tensor:
        chosen = rows.to(gradient.device)
        return torch.zeros_like(gradient).index_copy(0, chosen, gradient.index_select(0, chosen))

    table.requires_grad_(True)
    table.register_hook(masked)
