"""Encoded prompts in, the tokens of their answers out: batches of like lengths, on a GPU with captured steps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from model.fusion import fuse
from model.generation import continue_prompts
from model.graph_decoding import GraphDecoder
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


class BatchedDecoding:
    """Answers prompts of one network (in eval mode, where it will stay), at most `batch_size` at a time.

    `graphs` False decodes on a GPU as on a CPU: kernel by kernel, with padded prompts and a growing cache.
    """

    def __init__(
        self, model: VisionLanguageModel, *, batch_size: int, end_ids: Sequence[int], graphs: bool = True
    ) -> None:
        self.model, self.batch_size, self.end_ids = model, batch_size, end_ids
        on_gpu = model.language.device.type == "cuda"
        self.decoder = GraphDecoder(model.language, max_rows=batch_size) if graphs and on_gpu else None

    def answers(
        self, prompts: Sequence[Prompt], features: Mapping[str, torch.Tensor]
    ) -> Iterator[tuple[Sequence[Prompt], list[list[int]]]]:
        """Each batch with its rows of tokens; `features` are the image embeddings [tokens, D] of every view."""
        # One source's answers are of like length too, so that a batch doesn't wait for one long answer.
        ordered = sorted(prompts, key=lambda prompt: (prompt.source, len(prompt.input_ids), prompt.places))
        for batch in self.batches(ordered):
            yield batch, self._decoded(batch, features)

    def batches(self, prompts: Sequence[Prompt]) -> Iterator[Sequence[Prompt]]:
        """Runs of the prompts, as long as `batch_size` and the decoder's cache allow; one prompt at least."""
        start = 0
        while start < len(prompts):
            end, longest = start + 1, prompts[start].most
            while end < len(prompts) and end - start < self.batch_size:
                longest = max(longest, prompts[end].most)
                if self.decoder is not None and not self.decoder.fits(end - start + 1, longest):
                    break
                end += 1
            yield prompts[start:end]
            start = end

    @torch.inference_mode()
    def _decoded(self, batch: Sequence[Prompt], features: Mapping[str, torch.Tensor]) -> list[list[int]]:
        words, image_id = self.model.language.get_input_embeddings(), self.model.image_context_id
        embedded = []
        for prompt in batch:
            ids = prompt.input_ids.to(self.model.language.device)
            embedded.append(fuse(words(ids), ids, features[prompt.view], image_id))
        limits = [prompt.limit for prompt in batch]
        if self.decoder is not None and self.decoder.fits(len(batch), max(prompt.most for prompt in batch)):
            return self.decoder.continue_prompts(embedded, end_ids=self.end_ids, max_new_tokens=limits)
        # also a single prompt that is longer than the decoder's cache
        return continue_prompts(self.model.language, embedded, end_ids=self.end_ids, max_new_tokens=limits)
