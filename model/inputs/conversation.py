"""A conversation that waits for its answer, encoded as training encodes it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data.errors import AerieError
from data.schema import IMAGE_PLACEHOLDER, ImageRef, Sample, Turn
from model.config import ModelSettings, TilingSettings
from model.inputs.batch import EncodedSample
from model.inputs.encode import SampleProblemError, encode_sample, image_tiles
from model.inputs.tokens import ChatTokenizer


def with_placeholders(question: str, images: int) -> str:
    """The question with its images before it, each on a line, unless it places them itself."""
    return question if IMAGE_PLACEHOLDER in question else f"{IMAGE_PLACEHOLDER}\n" * images + question


def encode_conversation(
    turns: Sequence[Turn],
    images: Sequence[ImageRef],
    tokenizer: ChatTokenizer,
    settings: ModelSettings,
) -> EncodedSample:
    """User and assistant turns in order; after a last question the ids end with the opening of its answer.

    `images` are those of all questions, in order of their placeholders. AerieError: roles that don't alternate,
    placeholders that don't fit the images, an image that can't be decoded.
    """
    open_answer = bool(turns) and turns[-1].role == "user"
    complete = (*turns, Turn(role="assistant", content="")) if open_answer else tuple(turns)
    sample = Sample(
        sample_id="conversation", source="", category="", images=tuple(images), conversations=complete, meta={}
    )
    tiles = [_tiles(image, settings.tiling) for image in images]
    try:
        encoded = encode_sample(sample, tokenizer, settings, tiles=tiles)
    except SampleProblemError as error:
        raise AerieError(f"this conversation can't be encoded: {error}") from error
    if not open_answer:
        return encoded
    written = len(encoded.input_ids) - 1 - len(tokenizer.encode("\n"))  # without the empty answer's end and line break
    return replace(encoded, input_ids=encoded.input_ids[:written], labels=encoded.labels[:written])


def _tiles(image: ImageRef, tiling: TilingSettings) -> np.ndarray:
    """As training's, but for the advice that goes with an image that can't be decoded."""
    try:
        return image_tiles(image, tiling)
    except AerieError as error:
        raise AerieError(f"image {image.path} can't be used: {error.__cause__ or error}") from error
