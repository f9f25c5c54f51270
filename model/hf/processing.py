"""Text and images to the network's inputs, and its ids back to text, under transformers' processor interface."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import BatchFeature, PreTrainedTokenizerFast, ProcessorMixin

from data.errors import AerieError
from data.schema import Turn
from model.config import ModelSettings
from model.hf.messages import Conversation, Message, read_messages
from model.images import ImageSource, read_image
from model.inputs.batch import EncodedSample
from model.inputs.conversation import encode_conversation, with_placeholders
from model.inputs.tokens import CHAT_TOKENS, END_OF_TEXT, IMAGE_CONTEXT, IMAGE_END, IMAGE_START, TURN_END, ChatTokenizer


class AerieProcessor(ProcessorMixin):  # type: ignore[misc]  # transformers decides its base classes at run time
    """Tokenizer and tiling. Ids are built as training builds them, so no text that a user writes can forge a token.

    Two things differ from other processors for that reason: `text` is a question, never a rendered conversation, and
    `apply_chat_template` takes no template. What it renders with `tokenize=False` is for reading.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(tokenizer)
        self.model_settings = ModelSettings.model_validate(settings or {})
        self.chat = ChatTokenizer(tokenizer.backend_tokenizer)

    @classmethod
    def of(cls, tokenizer: ChatTokenizer, settings: ModelSettings) -> "AerieProcessor":
        """The processor of a network with these settings."""
        wrapped = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(tokenizer.to_json()),
            eos_token=TURN_END,
            pad_token=END_OF_TEXT,
            padding_side="left",
            model_max_length=settings.language.max_positions,
        )
        return cls(wrapped, settings.model_dump(mode="json"))

    def to_dict(self) -> dict[str, Any]:
        """What `processor_config.json` holds."""
        return {"processor_class": type(self).__name__, "settings": self.model_settings.model_dump(mode="json")}

    @property
    def model_input_names(self) -> list[str]:
        """The keys that `__call__` gives; `pixel_values` are missing without images."""
        return ["input_ids", "attention_mask", "pixel_values"]

    def __call__(
        self,
        images: ImageSource | Sequence[Any] | None = None,
        text: str | Sequence[str] | None = None,
        *,
        return_tensors: str | None = "pt",
        padding: bool = True,
    ) -> BatchFeature:
        """A question, or several as rows, up to the opening of the answer.

        For one question `images` is one image or a list of them; for several, a list with one such entry (or None) for
        each. `<image>` in a question says where its images stand, else they come first. Rows are padded on the left:
        input_ids and attention_mask int64 [B, T], pixel_values uint8 [P, S, S, 3], the tiles of all rows in order.
        """
        if text is None:
            raise AerieError("give the processor a text: the question; images alone ask nothing")
        rows = [text] if isinstance(text, str) else list(text)
        pictures = [images] if isinstance(text, str) else list(images or [None] * len(rows))  # type: ignore[arg-type]
        if len(pictures) != len(rows):
            raise AerieError(f"{len(rows)} questions, but images for {len(pictures)}; give one entry for each question")
        conversations = [_question(row, pictures[number]) for number, row in enumerate(rows)]
        return self._batch(conversations, return_tensors, padding)

    def apply_chat_template(  # type: ignore[override]  # no template, tools or documents
        self,
        conversation: Sequence[Message] | Sequence[Sequence[Message]],
        *,
        add_generation_prompt: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        return_tensors: str | None = None,
        padding: bool = True,
        continue_final_message: bool = False,
        processor_kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """A conversation, or several as rows, in the recipe's chat format: text, ids or (`return_dict`) all inputs.

        A conversation without a system turn gets the recipe's system prompt, as in training. One that ends with a
        question needs `add_generation_prompt`; one that ends with an answer is encoded whole.
        """
        if continue_final_message:
            raise AerieError("this processor can't continue an answer (continue_final_message); end with a question")
        single = bool(conversation) and isinstance(conversation[0], Mapping)
        rows: Sequence[Any] = [conversation] if single else conversation
        conversations = [read_messages(row) for row in rows]
        for number, read in enumerate(conversations):
            if bool(read.turns and read.turns[-1].role == "user") != add_generation_prompt:
                raise AerieError(f"conversation {number}: set add_generation_prompt just when it ends with a question")
        if not tokenize:
            texts = [self.chat.decode(self._encoded(read).input_ids) for read in conversations]
            return texts[0] if single else texts
        options = {"return_tensors": return_tensors, "padding": padding, **(processor_kwargs or {})}
        batch = self._batch(conversations, **options)
        return batch if return_dict else batch["input_ids"]

    def answers(self, sequences: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> list[str]:
        """What `generate` wrote after each prompt [B, T], without the end of the turn; grounding marks stay."""
        return self.post_process_image_text_to_text(sequences[:, inputs["input_ids"].shape[1] :])

    def post_process_image_text_to_text(
        self, generated_outputs: Any, skip_special_tokens: bool = True, **_: Any
    ) -> list[str]:
        """Ids [B, T] to texts. Of the special tokens only those of the chat and of images are skipped: `<box>` and
        its like are what a grounding answer says.
        """
        control = {self.chat.token_id(token) for token in (*CHAT_TOKENS, IMAGE_CONTEXT, IMAGE_START, IMAGE_END)}
        rows = [[int(token) for token in row] for row in generated_outputs]
        kept = [[token for token in row if not (skip_special_tokens and token in control)] for row in rows]
        return [self.chat.decode(row) for row in kept]

    def _encoded(self, conversation: Conversation) -> EncodedSample:
        settings = self.model_settings
        if conversation.system is not None:
            settings = settings.model_copy(update={"system_prompt": conversation.system})
        return encode_conversation(conversation.turns, conversation.images, self.chat, settings)

    def _batch(
        self, conversations: Sequence[Conversation], return_tensors: str | None, padding: bool = True
    ) -> BatchFeature:
        """The conversations as rows of one batch."""
        samples = [self._encoded(conversation) for conversation in conversations]
        lengths = [len(sample.input_ids) for sample in samples]
        if not samples:
            raise AerieError("there is nothing to encode: give at least one question or conversation")
        if not padding and len(set(lengths)) > 1:
            raise AerieError(f"rows of {lengths} tokens need padding=True to stand in one batch")
        ids = np.full((len(samples), max(lengths)), self.chat.token_id(END_OF_TEXT), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, sample in enumerate(samples):
            ids[row, -lengths[row] :], mask[row, -lengths[row] :] = sample.input_ids, 1
        arrays = {"input_ids": ids, "attention_mask": mask}
        tiles = np.concatenate([sample.tiles for sample in samples])
        return BatchFeature(arrays | ({"pixel_values": tiles} if len(tiles) else {}), tensor_type=return_tensors)


def _question(text: str, images: Any) -> Conversation:
    """One user turn with its images."""
    listed = [] if images is None else list(images) if isinstance(images, list | tuple) else [images]
    turn = Turn(role="user", content=with_placeholders(text, len(listed)))
    return Conversation(system=None, turns=(turn,), images=tuple(read_image(image) for image in listed))
