"""ChatML written piece by piece: token ids, labels on the answers only, images in place."""

from collections.abc import Iterator

from data.schema import IMAGE_PLACEHOLDER
from model.config import ModelSettings
from model.inputs.batch import IGNORE_INDEX
from model.inputs.tokens import ChatTokenizer


class ChatScript:
    """Token ids and labels of a conversation that shows `images` pictures, written piece by piece."""

    def __init__(self, tokenizer: ChatTokenizer, settings: ModelSettings, images: int) -> None:
        self.ids: list[int] = []
        self.labels: list[int] = []
        self._answer_start = 0
        self._numbered, self._placed = settings.number_images and images > 1, 0
        self._tokenizer, self._settings = tokenizer, settings
        self._newline = tokenizer.encode("\n")

    def put(self, ids: list[int], answer: bool = False) -> None:
        """Append tokens; only those of an answer are labels."""
        self.ids += ids
        self.labels += ids if answer else [IGNORE_INDEX] * len(ids)

    def system(self) -> None:
        """The recipe's system prompt, the same in training and evaluation."""
        text = self._tokenizer.encode(f"system\n{self._settings.system_prompt}")
        self.put([self._tokenizer.im_start_id, *text, self._tokenizer.im_end_id, *self._newline])

    def question(self, text: str, tiles: Iterator[int]) -> None:
        """A user turn and the opening of the answer; `tiles` yields the tile count of each placed image."""
        encode, tokenizer = self._tokenizer.encode, self._tokenizer
        before, *rest = text.split(IMAGE_PLACEHOLDER)
        before, ids = f"user\n{before}", [tokenizer.im_start_id]
        for part in rest:
            context = [tokenizer.image_context_id] * (next(tiles) * self._settings.tokens_per_tile)
            ids += encode(before + self._number())
            ids += [tokenizer.image_start_id, *context, tokenizer.image_end_id]
            before = part if part.startswith("\n") else f"\n{part}"
        ids += encode(before)
        ids += [tokenizer.im_end_id, *self._newline, tokenizer.im_start_id, *encode("assistant\n")]
        self.put(ids)

    def answer(self, text: str) -> None:
        """The labelled answer up to and including the end of its turn."""
        self._answer_start = len(self.ids)
        self.put([*self._tokenizer.encode_markup(text), self._tokenizer.im_end_id], answer=True)
        self.put(self._newline)

    def cut(self, length: int) -> None:
        """Keep at most `length` tokens by cutting the last answer; ValueError when none of its tokens would be left."""
        if length <= self._answer_start:
            raise ValueError(f"{self._answer_start} tokens before the answer")
        del self.ids[length:], self.labels[length:]

    def _number(self) -> str:
        """The text before an image: its number when there are several (reference data_prepare.py), else nothing."""
        if not self._numbered:
            return ""
        self._placed += 1
        return f"<image {self._placed}>"
