"""A checkpoint answers questions: each image is seen once, equal prompts are asked once, batches have like lengths."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from data.errors import AerieError
from data.progress import Progress
from model.checkpoint import check_tokenizer, load_model
from model.evaluation.questions import Question
from model.fusion import fuse
from model.generation import continue_prompts, image_features
from model.inputs.batch import EncodedSample
from model.inputs.encode import SampleProblemError, encode_prompt
from model.inputs.tokens import END_OF_TEXT, ChatTokenizer
from model.recipe import Recipe
from model.vlm import VisionLanguageModel

Item = TypeVar("Item")
BATCHES_PER_WINDOW = 16  # bounds the image features held at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompt:
    """One distinct input of the network and the questions that share it.

    `places` are positions in the list of questions; `view` is equal for prompts that show the same tiles.
    """

    places: tuple[int, ...]
    source: str
    view: str
    input_ids: torch.Tensor  # int64 [T]


class Answerer:
    """A network with its tokenizer, in evaluation mode, on the accelerator when there is one."""

    def __init__(
        self, model: VisionLanguageModel, tokenizer: ChatTokenizer, *, batch_size: int, max_new_tokens: int
    ) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model, self.tokenizer = model.to(self.device).eval(), tokenizer
        self.batch_size, self.max_new_tokens = batch_size, max_new_tokens
        self.end_ids = (tokenizer.im_end_id, tokenizer.token_id(END_OF_TEXT))

    @classmethod
    def load(cls, recipe: Recipe, checkpoint_uri: str, tokenizer_uri: str) -> "Answerer":
        """The network of a finished stage; `AerieError` when the tokenizer is not the one that it was trained with."""
        model, tokenizer = load_model(checkpoint_uri), ChatTokenizer.load(tokenizer_uri)
        check_tokenizer(tokenizer, model, checkpoint_uri, "evaluate with the tokenizer of the run that trained it")
        settings = recipe.evaluation
        return cls(model, tokenizer, batch_size=settings.batch_size, max_new_tokens=settings.max_new_tokens)

    @torch.inference_mode()
    def answers(
        self, questions: Sequence[Question], *, blind: bool, label: str = "", within: Progress | None = None
    ) -> list[str]:
        """The generated text for each question, in the order asked; `blind` shows mid-grey images instead.

        `label` begins the progress lines; `within` counts these questions among more, and isn't closed.
        """
        outputs = [""] * len(questions)
        progress = within or Progress(label, len(questions), "questions")
        shared = _equal_inputs(questions, blind)
        for window in _chunks(shared, self.batch_size * BATCHES_PER_WINDOW):
            prompts, tiles = self._encoded(questions, window, blind)
            features = self._features(tiles)
            # One source's answers are of like length too, so that a batch doesn't wait for one long answer.
            prompts.sort(key=lambda prompt: (prompt.source, len(prompt.input_ids), prompt.places))
            for batch in _chunks(prompts, self.batch_size):
                for prompt, text in zip(batch, self._decoded(batch, features), strict=True):
                    for place in prompt.places:
                        outputs[place] = text
                progress.update(sum(len(prompt.places) for prompt in batch))
        if within is None:
            progress.close()
        return outputs

    def _encoded(
        self, questions: Sequence[Question], window: Sequence[tuple[int, ...]], blind: bool
    ) -> tuple[list[_Prompt], dict[str, np.ndarray]]:
        """The window's prompts, and the tiles (uint8 [P, S, S, 3]) of each of their views, once."""
        prompts: list[_Prompt] = []
        tiles: dict[str, np.ndarray] = {}
        for places in window:
            question = questions[places[0]]
            sample = self._encode(question, blind)
            view = f"{len(sample.tiles)} grey" if blind else question.image_key
            tiles.setdefault(view, sample.tiles)
            ids = torch.from_numpy(sample.input_ids).to(self.device)
            prompts.append(_Prompt(places=places, source=question.source, view=view, input_ids=ids))
        return prompts, tiles

    def _encode(self, question: Question, blind: bool) -> EncodedSample:
        settings = self.model.settings
        try:
            return encode_prompt(question.prompt, question.images, self.tokenizer, settings, blind=blind)
        except SampleProblemError as error:
            raise AerieError(
                f"question {question.question_id} of {question.source!r} can't be asked: {error}; correct its row at "
                "the source and run the pipeline again"
            ) from error

    def _features(self, tiles: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
        """Image embeddings [tokens, D] of each view: all its tiles through the towers, a batch at a time."""
        return dict(zip(tiles, image_features(self.model, list(tiles.values()), self.batch_size), strict=True))

    def _decoded(self, batch: Sequence[_Prompt], features: dict[str, torch.Tensor]) -> list[str]:
        """The texts that a batch of prompts continues to."""
        words, image_id = self.model.language.get_input_embeddings(), self.model.image_context_id
        embedded = [
            fuse(words(prompt.input_ids), prompt.input_ids, features[prompt.view], image_id) for prompt in batch
        ]
        rows = continue_prompts(self.model.language, embedded, end_ids=self.end_ids, max_new_tokens=self.max_new_tokens)
        return [self.tokenizer.decode(row) for row in rows]


def _equal_inputs(questions: Sequence[Question], blind: bool) -> list[tuple[int, ...]]:
    """Positions grouped by what the network would see; decoding is greedy, so one answer serves the whole group.

    Blinded, a question shows nothing of its images but their sizes, which set the number of tiles.
    """
    groups: defaultdict[tuple[str, object], list[int]] = defaultdict(list)
    for place, question in enumerate(questions):
        sizes = tuple((image.width, image.height) for image in question.images)
        groups[question.prompt, sizes if blind else question.image_key].append(place)
    return [tuple(places) for places in groups.values()]


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
