"""Encoded prompts in, the tokens of their answers out: batches of like lengths, on a GPU with captured steps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from model.fusion import fuse
from model.generation import continue_prompts
from model.graph_decoding import GraphDecoder, columns_of
from model.vlm import VisionLanguageModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One distinct input of the network and the questions that share it.

    `places` are positions in the list of questions; `view` is equal for prompts that show the same tiles; the answer
    has at most `limit` tokens.
    """

    places: tuple[int, ...]
    source: str
    view: str
    input_ids: torch.Tensor  # int64 [T]
    limit: int

    @property
    def most(self) -> int:
        """Tokens of the prompt and of the longest answer."""
        return len(self.input_ids) + self.limit


Done = tuple[Sequence[Prompt], list[list[int]]]  # prompts and the tokens of their answers


class BatchedDecoding:
    """Answers prompts of one network (in eval mode, where it will stay), at most `batch_size` at a time.

    `graphs` False decodes on a GPU as on a CPU: kernel by kernel, in padded batches with a growing cache.
    """

    def __init__(
        self, model: VisionLanguageModel, *, batch_size: int, end_ids: Sequence[int], graphs: bool = True
    ) -> None:
        self.model, self.batch_size, self.end_ids = model, batch_size, end_ids
        on_gpu = model.language.device.type == "cuda"
        self.decoder = GraphDecoder(model.language, max_rows=batch_size) if graphs and on_gpu else None

    def answers(self, prompts: Sequence[Prompt], features: Mapping[str, torch.Tensor]) -> Iterator[Done]:
        """Prompts and their answers as they come; `features` are the image embeddings [tokens, D] of every view."""
        # One source's answers are of like length too, so that a batch doesn't wait for one long answer.
        ordered = sorted(prompts, key=lambda prompt: (prompt.source, len(prompt.input_ids), prompt.places))
        decoder = self.decoder
        if decoder is None:
            yield from self._batched(ordered, features)
            return
        ordered.sort(key=_columns)
        for _, group in groupby((prompt for prompt in ordered if decoder.fits(prompt.most)), key=_columns):
            yield from self._streamed(decoder, list(group), features)
        # longer than the decoder's cache: as on a CPU
        yield from self._batched([prompt for prompt in ordered if not decoder.fits(prompt.most)], features)

    def _streamed(
        self, decoder: GraphDecoder, prompts: Sequence[Prompt], features: Mapping[str, torch.Tensor]
    ) -> Iterator[Done]:
        """Prompts of one number of columns by the decoder's steps."""
        answers = decoder.answers(
            [len(prompt.input_ids) for prompt in prompts],
            lambda number: self._embedded(prompts[number], features),
            end_ids=self.end_ids,
            max_new_tokens=[prompt.limit for prompt in prompts],
        )
        for done in filter(None, answers):
            yield [prompts[number] for number in done], list(done.values())

    @torch.inference_mode()
    def _batched(self, prompts: Sequence[Prompt], features: Mapping[str, torch.Tensor]) -> Iterator[Done]:
        for start in range(0, len(prompts), self.batch_size):
            batch = prompts[start : start + self.batch_size]
            embedded = [self._embedded(prompt, features) for prompt in batch]
            limits = [prompt.limit for prompt in batch]
            yield batch, continue_prompts(self.model.language, embedded, end_ids=self.end_ids, max_new_tokens=limits)

    def _embedded(self, prompt: Prompt, features: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The decoder's input [T, D]."""
        words, ids = self.model.language.get_input_embeddings(), prompt.input_ids.to(self.model.language.device)
        return fuse(words(ids), ids, features[prompt.view], self.model.image_context_id)


def _columns(prompt: Prompt) -> int:
    return columns_of(prompt.most)
