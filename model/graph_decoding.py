"""Greedy decoding of batches for a GPU: prompts without padding, then one CUDA graph a step.

A step of a small decoder is some hundreds of short kernels; launched one by one from Python they take ten times as long
as they run. Captured once for a shape (rows, columns) and replayed, they follow each other without the host. The
answers are those of `model.generation.continue_prompts`, up to the rounding of other kernels.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from model.attention import NO_MASK
from model.generation_rows import Rows
from model.key_values import PREFILL_ATTENTION, STEP_ATTENTION, KeyValues, bytes_per_token

COLUMNS = 1024  # a batch's columns are a multiple: few shapes to capture, and no bias that a kernel must pad
CACHE_BYTES = 4 << 30
PREFILL_TOKENS = 32_768  # in one pass, which bounds its activations
STEPS_AT_ONCE = 4  # between two looks at the tokens, each of which waits for the device
# The one with a fast kernel for a bias; cuDNN's would plan every new shape for a second.
BACKENDS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class GraphDecoder:
    """A decoder (in eval mode) with room for batches of at most `max_rows` prompts.

    Without `capture` the same steps run one kernel at a time, on any device. The weights must stay where they are.
    """

    def __init__(self, language: Any, *, max_rows: int, capture: bool = True, cache_bytes: int = CACHE_BYTES) -> None:
        self.language, self.max_rows, self.capture = language, max_rows, capture
        most = max_rows * _columns(language.config.max_position_embeddings)
        with torch.inference_mode():
            self.key_values = KeyValues(language, min(cache_bytes // bytes_per_token(language), most))
            self.tokens, self.positions = (
                torch.zeros(max_rows, dtype=torch.long, device=language.device) for _ in range(2)
            )
        self._steps: dict[tuple[int, int], Callable[[], None]] = {}
        self._pool = torch.cuda.graph_pool_handle() if capture else None

    def fits(self, rows: int, tokens: int) -> bool:
        """Whether a batch of `rows` rows, the longest of `tokens` tokens with its answer, has room."""
        return rows <= self.max_rows and self._rows(rows) * _columns(tokens) <= self.key_values.places

    @torch.inference_mode()
    def continue_prompts(
        self, prompts: Sequence[torch.Tensor], *, end_ids: Sequence[int], max_new_tokens: int | Sequence[int]
    ) -> list[list[int]]:
        """The tokens after each embedded prompt [T_b, D], as `model.generation.continue_prompts` gives them.

        ValueError when the batch doesn't fit.
        """
        answers = Rows(len(prompts), end_ids, max_new_tokens)
        if not answers.going:
            return answers.tokens
        longest = max(map(len, prompts)) + answers.most
        if not self.fits(len(prompts), longest):
            raise ValueError(f"{len(prompts)} rows of {longest} tokens don't fit: ask `fits` before")
        rows, columns = self._rows(len(prompts)), _columns(longest)
        step = self._step_of(rows, columns)
        self._prefill(prompts, columns)
        for tokens in self._taken(step, len(prompts), answers.most):
            answers.take(tokens)
            if not answers.going:
                break
        return answers.tokens

    def _taken(self, step: Callable[[], None], rows: int, steps: int) -> Iterator[list[int]]:
        """The tokens of each step, fetched some steps at a time; the first are there from the prefill."""
        for start in range(0, steps, STEPS_AT_ONCE):
            taken = []
            for number in range(start, min(start + STEPS_AT_ONCE, steps)):
                if number:
                    step()
                taken.append(self.tokens[:rows].clone())
            yield from torch.stack(taken).tolist()

    def _prefill(self, prompts: Sequence[torch.Tensor], columns: int) -> None:
        """Prompts into the cache, their first tokens into `tokens`. Rows without a prompt begin at their place 0."""
        self.positions.zero_()
        self.language.set_attn_implementation(PREFILL_ATTENTION)
        start = 0
        while start < len(prompts):
            end, tokens = start + 1, len(prompts[start])
            while end < len(prompts) and tokens + len(prompts[end]) <= PREFILL_TOKENS:
                tokens, end = tokens + len(prompts[end]), end + 1
            self._prefill_pack(prompts[start:end], start, columns)
            start = end

    def _prefill_pack(self, prompts: Sequence[torch.Tensor], first: int, columns: int) -> None:
        """One pass over the prompts of the rows from `first`, side by side."""
        sizes, device = [len(prompt) for prompt in prompts], self.tokens.device
        lengths = torch.tensor(sizes, device=device)
        borders = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        sequence = torch.repeat_interleave(lengths, output_size=sum(sizes))
        positions = torch.arange(sum(sizes), device=device) - borders[sequence]
        hidden = self.language.model(
            inputs_embeds=torch.cat(list(prompts)).unsqueeze(0),
            attention_mask=NO_MASK,
            position_ids=positions.unsqueeze(0),
            use_cache=False,
            key_values=self.key_values,
            places=(first + sequence) * columns + positions,
            cu_seqlens=borders.int(),
            max_seqlen=max(sizes),
            sequence=sequence,
            positions=positions,
        ).last_hidden_state[0, borders[1:] - 1]
        rows = slice(first, first + len(prompts))
        self.tokens[rows] = self._likeliest(hidden)
        self.positions[rows] = lengths

    def _step_of(self, rows: int, columns: int) -> Callable[[], None]:
        """The step for a shape, captured when it is first asked for. What is in the cache is lost by that."""
        if (rows, columns) not in self._steps:
            step = partial(self._step, rows, columns)
            self._steps[rows, columns] = self._captured(step) if self.capture else step
        return self._steps[rows, columns]

    def _captured(self, step: Callable[[], None]) -> Callable[[], None]:
        """A graph of the step. It is run before, on another stream as PyTorch asks: kernels are chosen and loaded."""
        self.positions.zero_()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            step()
        return graph.replay

    def _step(self, rows: int, columns: int) -> None:
        """One token more for each row: reads and writes `tokens` and `positions` in place, waits for nothing."""
        self.language.set_attn_implementation(STEP_ATTENTION)
        tokens, positions = self.tokens[:rows], self.positions[:rows]
        numbers = torch.arange(columns, device=tokens.device)
        bias = torch.zeros(rows, columns, dtype=self.language.dtype, device=tokens.device)
        bias.masked_fill_(numbers > positions[:, None], float("-inf"))
        with sdpa_kernel(BACKENDS):
            hidden = self.language.model(
                inputs_embeds=self.language.get_input_embeddings()(tokens[:, None]),
                attention_mask=NO_MASK,
                position_ids=positions[:, None],
                use_cache=False,
                key_values=self.key_values,
                places=torch.arange(rows, device=tokens.device) * columns + positions,
                bias=bias,
            ).last_hidden_state[:, 0]
        tokens.copy_(self._likeliest(hidden))
        positions.add_(1)

    def _likeliest(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.language.lm_head(hidden).float().argmax(-1)

    def _rows(self, rows: int) -> int:
        """The next power of two, or all that there are."""
        return min(1 << (rows - 1).bit_length(), self.max_rows)


def _columns(tokens: int) -> int:
    return -(-tokens // COLUMNS) * COLUMNS
