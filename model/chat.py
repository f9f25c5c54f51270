"""A conversation with a checkpoint: questions about images in, answers out, word by word where someone watches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers.generation.streamers import BaseStreamer

from data.errors import AerieError
from data.schema import Turn
from model.hf import AerieForConditionalGeneration
from model.hf.export import NetworkAndTokenizer
from model.hf.messages import ImageSource, read_image
from model.inputs.batch import EncodedSample
from model.inputs.conversation import encode_conversation, with_placeholders
from model.inputs.tokens import END_OF_TEXT, ChatTokenizer

UNFINISHED = "\ufffd"  # how the decoder writes bytes that don't yet make a character


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """How answers are drawn: temperature 0 takes the most likely token; equal seeds give equal answers."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class Chat:
    """Questions and answers so far, about images that come before the first question (or where it says `<image>`)."""

    def __init__(
        self, checkpoint: NetworkAndTokenizer, images: Sequence[ImageSource], options: ChatOptions | None = None
    ) -> None:
        """Reads the images; AerieError names one that is missing or no image."""
        self.options, self.tokenizer = options or ChatOptions(), checkpoint.tokenizer
        self.images = tuple(read_image(image) for image in images)
        self.turns: list[Turn] = []
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = AerieForConditionalGeneration.of(checkpoint.model.to(device))

    def ask(self, question: str, on_text: Callable[[str], None] | None = None) -> str:
        """The answer, which joins the history with its question; `on_text` gets it piece by piece as it is written.

        AerieError: an empty question, a conversation that outgrows the network's positions.
        """
        if not question.strip():
            raise AerieError("the question is empty")
        text = question if self.turns else with_placeholders(question, len(self.images))
        turns = [*self.turns, Turn(role="user", content=text)]
        sample = encode_conversation(turns, self.images, self.tokenizer, self._network.model.settings)
        self._check_length(sample)
        answer = self._answer(sample, on_text or (lambda _: None))
        self.turns = [*turns, Turn(role="assistant", content=answer)]
        return answer

    def _check_length(self, sample: EncodedSample) -> None:
        most = self._network.model.settings.language.max_positions
        if len(sample.input_ids) + self.options.max_new_tokens > most:
            raise AerieError(
                f"the conversation has {len(sample.input_ids)} tokens and the answer may have "
                f"{self.options.max_new_tokens}, but the network knows {most} positions; ask for fewer new tokens, show "
                "fewer images or begin anew"
            )

    @torch.inference_mode()
    def _answer(self, sample: EncodedSample, on_text: Callable[[str], None]) -> str:
        options, device = self.options, self._network.device
        ids, writer = torch.from_numpy(sample.input_ids)[None].to(device), _Writer(self.tokenizer, on_text)
        drawn = {"do_sample": True, "temperature": options.temperature, "top_p": options.top_p, "top_k": 0}
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(options.seed + len(self.turns))  # each answer of a conversation has its own draws
            self._network.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=torch.from_numpy(sample.tiles).to(device) if len(sample.tiles) else None,
                max_new_tokens=options.max_new_tokens,
                eos_token_id=self.tokenizer.im_end_id,
                pad_token_id=self.tokenizer.token_id(END_OF_TEXT),
                streamer=writer,
                **(drawn if options.temperature > 0 else {"do_sample": False}),
            )
        return writer.text


class _Writer(BaseStreamer):  # type: ignore[misc]  # transformers has no types
    """Collects the tokens that `generate` chooses and passes on what they add to the text."""

    def __init__(self, tokenizer: ChatTokenizer, on_text: Callable[[str], None]) -> None:
        self.text = ""
        self._tokenizer, self._on_text = tokenizer, on_text
        self._ids: list[int] | None = None

    def put(self, value: torch.Tensor) -> None:
        """The prompt at the first call, then one token [1] at a time."""
        if self._ids is None:
            self._ids = []
            return
        self._ids += [token for token in value.tolist() if token != self._tokenizer.im_end_id]
        whole = self._tokenizer.decode(self._ids)
        if not whole.endswith(UNFINISHED):
            self._pass_on(whole)

    def end(self) -> None:
        """Whatever bytes are left are written as they are."""
        self._pass_on(self._tokenizer.decode(self._ids or []))

    def _pass_on(self, whole: str) -> None:
        if len(whole) > len(self.text):
            self._on_text(whole[len(self.text) :])
        self.text = whole
