"""A checkpoint answers questions: each image is seen once, equal prompts are asked once, batches have like lengths."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal, TypeVar

import numpy as np
import torch

from data.cores import given_cores
from data.curation.ahead import in_order
from data.errors import AerieError
from data.progress import Progress
from model.checkpoint import check_tokenizer, load_model
from model.evaluation.batches import BatchedDecoding, Prompt
from model.evaluation.questions import Question
from model.generation import image_features
from model.inputs.batch import EncodedSample
from model.inputs.encode import SampleProblemError, encode_prompt
from model.inputs.tokens import END_OF_TEXT, ChatTokenizer
from model.recipe import Recipe
from model.vlm import VisionLanguageModel

Item = TypeVar("Item")
Precision = Literal["bf16", "fp32"]
MOST_THREADS = 16
BATCHES_PER_WINDOW = 16  # bounds the image features held at a time


class Answerer:
    """A network with its tokenizer, in evaluation mode, on the accelerator when there is one."""

    def __init__(
        self,
        model: VisionLanguageModel,
        tokenizer: ChatTokenizer,
        *,
        batch_size: int,
        max_new_tokens: int,
        precision: Precision = "bf16",
    ) -> None:
        on_gpu = torch.cuda.is_available()
        self.device = torch.device("cuda" if on_gpu else "cpu")
        self.model, self.tokenizer = model.to(self.device).eval(), tokenizer
        if on_gpu and precision == "bf16":
            self.model.to(torch.bfloat16)
        self.batch_size, self.max_new_tokens = batch_size, max_new_tokens
        self.end_ids = (tokenizer.im_end_id, tokenizer.token_id(END_OF_TEXT))
        self.decoding = BatchedDecoding(self.model, batch_size=batch_size, end_ids=self.end_ids)
        # on a CPU the network itself needs the cores
        self.threads = min(given_cores(), MOST_THREADS) if on_gpu else 1

    @classmethod
    def load(cls, recipe: Recipe, checkpoint_uri: str, tokenizer_uri: str) -> "Answerer":
        """The network of a finished stage; `AerieError` when the tokenizer is not the one that it was trained with."""
        model, tokenizer = load_model(checkpoint_uri), ChatTokenizer.load(tokenizer_uri)
        check_tokenizer(tokenizer, model, checkpoint_uri, "evaluate with the tokenizer of the run that trained it")
        settings = recipe.evaluation
        sizes = {"batch_size": settings.batch_size, "max_new_tokens": settings.max_new_tokens}
        return cls(model, tokenizer, precision=settings.precision, **sizes)

    @torch.inference_mode()
    def answers(
        self,
        questions: Sequence[Question],
        *,
        blind: bool,
        label: str = "",
        within: Progress | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """The generated text for each question, in the order asked; `blind` shows mid-grey images instead.

        `label` begins the progress lines; `within` counts these questions among more, and isn't closed. `limit` is the
        most tokens of an answer, without it `max_new_tokens`.
        """
        outputs = [""] * len(questions)
        progress = within or Progress(label, len(questions), "questions")
        shared, limit = _equal_inputs(questions, blind), limit or self.max_new_tokens
        for window in _chunks(shared, self.batch_size * BATCHES_PER_WINDOW):
            prompts, features = self._seen(questions, window, blind, limit)
            for batch, rows in self.decoding.answers(prompts, features):
                for prompt, row in zip(batch, rows, strict=True):
                    text = self.tokenizer.decode(row)
                    for place in prompt.places:
                        outputs[place] = text
                progress.update(sum(len(prompt.places) for prompt in batch))
        if within is None:
            progress.close()
        return outputs

    def _seen(
        self, questions: Sequence[Question], window: Sequence[tuple[int, ...]], blind: bool, limit: int
    ) -> tuple[list[Prompt], dict[str, torch.Tensor]]:
        """The window's prompts, and the image embeddings [tokens, D] of each of their views.

        Threads decode and cut the pictures ahead of the towers, each picture once.
        """
        by_image: defaultdict[str, list[tuple[int, ...]]] = defaultdict(list)
        for places in window:
            by_image[questions[places[0]].image_key].append(places)
        prompts: list[Prompt] = []
        views: dict[str, None] = {}

        def new_tiles() -> Iterator[np.ndarray]:
            encode = partial(self._encoded, questions, blind, limit)
            for encoded, view, tiles in in_order(encode, by_image.values(), self.threads):
                prompts.extend(encoded)
                if view not in views:
                    views[view] = None
                    yield tiles

        features = image_features(self.model, new_tiles(), self.batch_size)
        return prompts, dict(zip(views, features, strict=True))

    def _encoded(
        self, questions: Sequence[Question], blind: bool, limit: int, group: Sequence[tuple[int, ...]]
    ) -> tuple[list[Prompt], str, np.ndarray]:
        """The prompts about one image, the name of their view and its tiles (uint8 [P, S, S, 3])."""
        prompts = []
        for places in group:
            question = questions[places[0]]
            sample = self._encode(question, blind)
            view = f"{len(sample.tiles)} grey" if blind else question.image_key
            ids = torch.from_numpy(sample.input_ids)
            prompts.append(Prompt(places=places, source=question.source, view=view, input_ids=ids, limit=limit))
        return prompts, view, sample.tiles

    def _encode(self, question: Question, blind: bool) -> EncodedSample:
        settings = self.model.settings
        try:
            return encode_prompt(question.prompt, question.images, self.tokenizer, settings, blind=blind)
        except SampleProblemError as error:
            raise AerieError(
                f"question {question.question_id} of {question.source!r} can't be asked: {error}; correct its row at "
                "the source and run the pipeline again"
            ) from error


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
