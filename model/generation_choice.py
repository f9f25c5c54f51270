"""How the next token is chosen from the logits: the likeliest, or a draw that only seed and prompt decide."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from data.errors import AerieError
from model.inputs.batch import EncodedSample

Choice = Callable[[torch.Tensor], torch.Tensor]  # logits float32 [B, V] -> token ids int64 [B]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a token is drawn: temperature first, then the `top_k` best (0: all), then the smallest set of `top_p`."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise AerieError(f"temperature is {self.temperature}: give one above 0, or no sampling for greedy answers")
        if not 0 < self.top_p <= 1:
            raise AerieError(f"top_p is {self.top_p}: give a share of the probability, above 0 and at most 1")
        if self.top_k < 0:
            raise AerieError(f"top_k is {self.top_k}: give the number of tokens to draw from, or 0 for all")


def greedy(logits: torch.Tensor) -> torch.Tensor:
    """The most likely token of each row: [B, V] to [B]."""
    return logits.argmax(-1)


class Draw:
    """Draws from softmax(logits) after the filters, each row from its own generator on the CPU.

    One number u in [0, 1) a row and step picks the first token whose cumulated probability (float64) exceeds u: the
    same on every device. A row's generator starts from (seed, its prompt), so neighbours and batch size don't matter.
    """

    def __init__(self, sampling: Sampling, prompts: Sequence[EncodedSample]) -> None:
        self.generators = [torch.Generator().manual_seed(_row_seed(sampling.seed, prompt)) for prompt in prompts]
        self.filters: list[Any] = [TemperatureLogitsWarper(sampling.temperature)]
        if sampling.top_k:
            self.filters.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            self.filters.append(TopPLogitsWarper(sampling.top_p))

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits [B, V] to token ids [B]; advances every row's generator by one number."""
        for limit in self.filters:
            logits = limit(None, logits)
        cumulated = logits.double().softmax(-1).cumsum(-1)
        drawn = torch.stack([torch.rand(1, dtype=torch.float64, generator=each) for each in self.generators])
        return torch.searchsorted(cumulated, drawn.to(logits.device) * cumulated[:, -1:], right=True).squeeze(1)


def _row_seed(seed: int, prompt: EncodedSample) -> int:
    """63 bits from the seed and what the prompt shows: its tokens and its pixels."""
    digest = hashlib.sha256(str(seed).encode())
    for array in (prompt.input_ids, prompt.tiles):
        digest.update(np.ascontiguousarray(array).data)
    return int.from_bytes(digest.digest()[:8]) >> 1
