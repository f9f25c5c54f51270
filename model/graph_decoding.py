"""Greedy decoding for a GPU: one CUDA graph a step, and a new prompt wherever an answer has ended.

A step of a small decoder is some hundreds of short kernels, and launching them one by one from Python takes longer than
they run. Captured once for a shape (rows, columns) and replayed, they follow each other without the host. Prompts enter
as packs without padding. The answers are those of `model.generation.continue_prompts`, up to the rounding of other
kernels (tests/benchmarks/bench_generation.py measures both).
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from model.attention import NO_MASK
from model.generation_rows import Rows
from model.key_values import PREFILL_ATTENTION, STEP_ATTENTION, KeyValues, bytes_per_token

COLUMNS = 1024  # a row's columns are a multiple: few shapes to capture, and no bias that a kernel must pad
CACHE_BYTES = 4 << 30
PREFILL_TOKENS = 32_768  # in one pass, which bounds its activations
STEPS_AT_ONCE = 4  # between two looks at the tokens, each of which waits for the device
REFILL = 0.25  # of the rows are free before prompts enter: a pass over few is as long as one over many
# The one whose fast kernel takes a bias; without cuDNN's, which plans each new shape anew.
BACKENDS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
Embed = Callable[[int], torch.Tensor]
Seats = dict[int, int]  # row -> the prompt that it answers


class GraphDecoder:
    """A decoder (in eval mode) that answers at most `max_rows` prompts at a time.

    Without `capture` the same steps run one kernel at a time, on any device. The weights must stay where they are.
    """

    def __init__(self, language: Any, *, max_rows: int, capture: bool = True, cache_bytes: int = CACHE_BYTES) -> None:
        self.language, self.max_rows, self.capture = language, max_rows, capture
        most = max_rows * columns_of(language.config.max_position_embeddings)
        device = language.device
        with torch.inference_mode():
            self.key_values = KeyValues(language, min(cache_bytes // bytes_per_token(language), most))
            self.tokens, self.positions = (torch.zeros(max_rows, dtype=torch.long, device=device) for _ in range(2))
        self._steps: dict[tuple[int, int], Callable[[], None]] = {}
        self._pool = torch.cuda.graph_pool_handle() if capture else None

    def fits(self, tokens: int) -> bool:
        """Whether a prompt that has so many tokens with its longest answer has room."""
        return columns_of(tokens) <= self.key_values.places

    @torch.inference_mode()
    def answers(
        self, sizes: Sequence[int], embed: Embed, *, end_ids: Sequence[int], max_new_tokens: int | Sequence[int]
    ) -> Iterator[dict[int, list[int]]]:
        """Number and tokens of prompts whose answers are complete, some at a time, until all are.

        Prompt n has `sizes[n]` tokens; `embed(n)` gives its embeddings [sizes[n], D] when its turn comes. ValueError
        when the longest prompt doesn't fit.
        """
        asked = Rows(len(sizes), end_ids, max_new_tokens)
        yield {prompt: [] for prompt in range(len(sizes)) if prompt not in asked.going}
        waiting = deque(sorted(asked.going))
        if not waiting:
            return
        columns = columns_of(max(size + limit for size, limit in zip(sizes, asked.limits, strict=True)))
        rows = self._rows(len(waiting), columns)
        step, seats = self._step_of(rows, columns), Seats()
        self.positions.zero_()  # rows without a prompt look at their place 0
        while waiting or seats:
            new: Seats = {}
            free = [row for row in range(rows) if row not in seats]
            if waiting and len(free) >= REFILL * rows:
                new = dict(zip(free, (waiting.popleft() for _ in range(min(len(free), len(waiting)))), strict=False))
                self._prefill({row: embed(prompt) for row, prompt in new.items()}, columns)
                seats |= new
            self._go_on(step, asked, seats, new)
            over = {row: prompt for row, prompt in seats.items() if prompt not in asked.going}
            for row in over:
                del seats[row]
            yield {prompt: asked.tokens[prompt] for prompt in over.values()}

    def _go_on(self, step: Callable[[], None], asked: Rows, seats: Seats, new: Seats) -> None:
        """Some steps; their tokens, and the first ones of new prompts, are fetched at once."""
        taken, whose = [self.tokens.clone()], [new]
        needed = max(asked.left(prompt) - (row in new) for row, prompt in seats.items())
        for _ in range(min(needed, STEPS_AT_ONCE)):
            step()
            taken.append(self.tokens.clone())
            whose.append(seats)
        for tokens, seated in zip(torch.stack(taken).tolist(), whose, strict=True):
            asked.take((prompt, tokens[row]) for row, prompt in seated.items())

    def _prefill(self, prompts: Mapping[int, torch.Tensor], columns: int) -> None:
        """Embedded prompts [T, D] by row into the cache, their first tokens into `tokens`."""
        pack: dict[int, torch.Tensor] = {}
        for row, prompt in prompts.items():
            if pack and sum(map(len, pack.values())) + len(prompt) > PREFILL_TOKENS:
                self._prefill_pack(pack, columns)
                pack = {}
            pack[row] = prompt
        self._prefill_pack(pack, columns)

    def _prefill_pack(self, prompts: Mapping[int, torch.Tensor], columns: int) -> None:
        """One pass over prompts side by side."""
        self.language.set_attn_implementation(PREFILL_ATTENTION)
        sizes, device = [len(prompt) for prompt in prompts.values()], self.tokens.device
        rows, lengths = (torch.tensor(numbers, device=device) for numbers in (list(prompts), sizes))
        borders = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        sequence = torch.repeat_interleave(lengths, output_size=sum(sizes))
        positions = torch.arange(sum(sizes), device=device) - borders[sequence]
        hidden = self.language.model(
            inputs_embeds=torch.cat(list(prompts.values())).unsqueeze(0),
            attention_mask=NO_MASK,
            position_ids=positions.unsqueeze(0),
            use_cache=False,
            key_values=self.key_values,
            places=rows[sequence] * columns + positions,
            cu_seqlens=borders.int(),
            max_seqlen=max(sizes),
            sequence=sequence,
            positions=positions,
        ).last_hidden_state[0, borders[1:] - 1]
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
        positions.add_(1).clamp_(max=columns - 1)  # a row whose answer is over must not reach into the next one

    def _likeliest(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.language.lm_head(hidden).float().argmax(-1)

    def _rows(self, prompts: int, columns: int) -> int:
        """Rows for so many prompts: as the cache has room, a power of two where fewer are asked."""
        room = min(self.max_rows, self.key_values.places // columns)
        if not room:
            raise ValueError(f"a row of {columns} tokens has no room in a cache of {self.key_values.places}")
        return min(1 << (prompts - 1).bit_length(), room)


def columns_of(tokens: int) -> int:
    """Columns of a row for so many tokens."""
    return -(-tokens // COLUMNS) * COLUMNS
