"""A conversation with a checkpoint: questions about images in, answers out, piece by piece where someone watches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from data.errors import AerieError
from data.schema import Turn
from model.checkpoint import Checkpoint
from model.generation import Sampling, generate_stream
from model.images import ImageSource, read_image
from model.inputs.batch import EncodedSample
from model.inputs.conversation import encode_conversation, with_placeholders

UNFINISHED = "\ufffd"  # how the decoder writes bytes that don't yet make a character


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """How answers are drawn: temperature 0 takes the most likely token; equal seeds give equal answers."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    @property
    def sampling(self) -> Sampling | None:
        """As generation takes it; None takes the most likely token."""
        if self.temperature == 0:
            return None
        return Sampling(temperature=self.temperature, top_p=self.top_p, seed=self.seed)


class Chat:
    """Questions and answers so far, about images that come before the first question (or where it says `<image>`)."""

    def __init__(
        self, checkpoint: Checkpoint, images: Sequence[ImageSource], options: ChatOptions | None = None
    ) -> None:
        """Reads the images; AerieError names one that is missing or no image."""
        self.options, self.tokenizer = options or ChatOptions(), checkpoint.tokenizer
        self.images = tuple(read_image(image) for image in images)
        self.turns: list[Turn] = []
        self.model = checkpoint.model.to("cuda" if torch.cuda.is_available() else "cpu")

    def ask(self, question: str, on_text: Callable[[str], None] | None = None) -> str:
        """The answer, which joins the history with its question; `on_text` gets it piece by piece as it is written.

        AerieError: an empty question, a conversation that outgrows the network's positions.
        """
        if not question.strip():
            raise AerieError("the question is empty")
        text = question if self.turns else with_placeholders(question, len(self.images))
        turns = [*self.turns, Turn(role="user", content=text)]
        prompt = encode_conversation(turns, self.images, self.tokenizer, self.model.settings)
        self._check_length(prompt)
        answer = self._answer(prompt, on_text or (lambda _: None))
        self.turns = [*turns, Turn(role="assistant", content=answer)]
        return answer

    def _check_length(self, prompt: EncodedSample) -> None:
        most = self.model.settings.language.max_positions
        if len(prompt.input_ids) + self.options.max_new_tokens > most:
            raise AerieError(
                f"the conversation has {len(prompt.input_ids)} tokens and the answer may have "
                f"{self.options.max_new_tokens}, but the network knows {most} positions; ask for fewer new tokens, "
                "show fewer images or begin anew"
            )

    def _answer(self, prompt: EncodedSample, on_text: Callable[[str], None]) -> str:
        ids: list[int] = []
        shown = ""
        tokens = generate_stream(
            self.model,
            prompt,
            end_ids=[self.tokenizer.im_end_id],
            max_new_tokens=self.options.max_new_tokens,
            sampling=self.options.sampling,
        )
        for token in tokens:
            ids.append(token)
            text = self.tokenizer.decode(ids)
            if text.startswith(shown) and not text.endswith(UNFINISHED):
                on_text(text[len(shown) :])
                shown = text
        text = self.tokenizer.decode(ids)
        on_text(text[len(shown) :])  # bytes that never made a character
        return text
