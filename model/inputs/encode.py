"""A conversation as tokens, labels and tiles: ChatML, images in place, labels on the answers only."""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from data.errors import AerieError
from data.images import ImageProblemError, decode_image, image_payload
from data.schema import IMAGE_PLACEHOLDER, ImageRef, Sample
from model.config import ModelSettings, TilingSettings
from model.inputs.batch import EncodedSample
from model.inputs.chatml import ChatScript
from model.inputs.grids import tile_count
from model.inputs.tokens import ChatTokenizer

PLACED = re.compile(re.escape(IMAGE_PLACEHOLDER) + "\n?")
Pair = tuple[str, str]  # question, answer


class SampleProblemError(Exception):
    """A sample that can't be encoded; `reason` is the ledger's reason, the message is the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class BadImageError(AerieError):
    """An image whose bytes are here and can't be used; `reason` is the ledger's reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def question_answer_pairs(sample: Sample) -> list[Pair]:
    """The (question, answer) pairs in order. System turns are left out: the recipe's system prompt is the only one."""
    turns = [turn for turn in sample.conversations if turn.role != "system"]
    roles = [turn.role for turn in turns]
    if not turns or len(turns) % 2 or roles != ["user", "assistant"] * (len(turns) // 2):
        raise SampleProblemError("malformed_turns", f"sample {sample.sample_id}: roles {roles} don't alternate")
    return [(turns[i].content, turns[i + 1].content) for i in range(0, len(turns), 2)]


def placed_pairs(sample: Sample, turns: Sequence[int] | None) -> tuple[list[Pair], int]:
    """The chosen pairs, each with its placeholders, and how many images (the first ones) they place.

    A pair sees the images that were placed up to it: those of dropped earlier pairs are placed before its question,
    each on a line; a pair that comes after a later one finds its own images placed already.
    """
    pairs = question_answer_pairs(sample)
    marks = [question.count(IMAGE_PLACEHOLDER) for question, _ in pairs]
    if sum(marks) != len(sample.images):
        raise SampleProblemError(
            "image_token_mismatch",
            f"sample {sample.sample_id}: {sum(marks)} {IMAGE_PLACEHOLDER} placeholders, {len(sample.images)} images",
        )
    if turns is None:
        return pairs, len(sample.images)
    chosen, placed = [], 0
    for turn in turns:
        question, answer = pairs[turn]
        before = sum(marks[:turn])
        missing = f"{IMAGE_PLACEHOLDER}\n" * max(before - placed, 0)
        question = missing + (PLACED.sub("", question) if placed > before else question)
        placed = max(placed, before + marks[turn])
        chosen.append((question, answer))
    return chosen, placed


def _script(
    sample: Sample,
    tokenizer: ChatTokenizer,
    settings: ModelSettings,
    turns: Sequence[int] | None,
    max_tokens: int | None = None,
) -> tuple[ChatScript, int]:
    """The written conversation and the number of images it places."""
    pairs, placed = placed_pairs(sample, turns)
    tiles = (tile_count(image.width, image.height, settings.tiling) for image in sample.images)
    script = ChatScript(tokenizer, settings, placed)
    script.system()
    for question, answer in pairs:
        script.question(question, tiles)
        script.answer(answer)
    if max_tokens is not None:
        try:
            script.cut(max_tokens)
        except ValueError as error:
            raise SampleProblemError(
                "too_long", f"sample {sample.sample_id}: {error}, there is room for {max_tokens}"
            ) from error
    return script, placed


def encode_sample(
    sample: Sample,
    tokenizer: ChatTokenizer,
    settings: ModelSettings,
    turns: Sequence[int] | None = None,
    *,
    tiles: Sequence[np.ndarray] | None = None,
    max_tokens: int | None = None,
) -> EncodedSample:
    """A sample's conversation as the network takes it.

    `turns` are the pairs to keep, in that order (None: all). `tiles` are the images' tiles when the caller has them
    already (uint8 [P_i, S, S, 3] each); else the images are decoded here. Above `max_tokens` the last answer is cut,
    and nothing else (`model.inputs.truncation` drops whole turns before).
    """
    script, placed = _script(sample, tokenizer, settings, turns, max_tokens)
    if tiles is None:
        tiles = [image_tiles(image, settings.tiling) for image in sample.images[:placed]]
    return EncodedSample(
        sample_id=sample.sample_id,
        source=sample.source,
        category=sample.category,
        input_ids=np.array(script.ids, dtype=np.int64),
        labels=np.array(script.labels, dtype=np.int64),
        tiles=_stacked(tiles[:placed], settings.tiling.tile_size),
    )


def text_ids(
    sample: Sample, tokenizer: ChatTokenizer, settings: ModelSettings, turns: Sequence[int] | None = None
) -> list[int]:
    """The token ids that `encode_sample` will give, without decoding a pixel."""
    return _script(sample, tokenizer, settings, turns)[0].ids


def token_count(
    sample: Sample,
    tokenizer: ChatTokenizer,
    settings: ModelSettings,
    turns: Sequence[int] | None = None,
    *,
    max_tokens: int | None = None,
) -> int:
    """The length that `encode_sample` will give, without decoding a pixel."""
    return len(_script(sample, tokenizer, settings, turns, max_tokens)[0].ids)


def encode_prompt(
    prompt: str,
    images: Sequence[ImageRef],
    tokenizer: ChatTokenizer,
    settings: ModelSettings,
    *,
    blind: bool = False,
) -> EncodedSample:
    """One question up to the opening of its answer; `blind` shows mid-grey tiles instead of the pictures."""
    placed = prompt.count(IMAGE_PLACEHOLDER)
    if placed != len(images):
        raise SampleProblemError(
            "image_token_mismatch",
            f"prompt {prompt[:60]!r}: {placed} {IMAGE_PLACEHOLDER} placeholders, {len(images)} images",
        )
    script = ChatScript(tokenizer, settings, placed)
    script.system()
    counts = [tile_count(image.width, image.height, settings.tiling) for image in images]
    script.question(prompt, iter(counts))
    size = settings.tiling.tile_size
    if blind:
        tiles = np.full((sum(counts), size, size, 3), 128, dtype=np.uint8)
    else:
        tiles = _stacked([image_tiles(image, settings.tiling) for image in images], size)
    return EncodedSample(
        sample_id="",
        source="",
        category="",
        input_ids=np.array(script.ids, dtype=np.int64),
        labels=np.array(script.labels, dtype=np.int64),
        tiles=tiles,
    )


@lru_cache(maxsize=32)  # questions about one image follow each other
def image_tiles(image: ImageRef, tiling: TilingSettings) -> np.ndarray:
    """`decoded_tiles` of the latest images, kept."""
    return decoded_tiles(image, tiling)


def decoded_tiles(image: ImageRef, tiling: TilingSettings) -> np.ndarray:
    """The tiles of an encoded image, uint8 [P, S, S, 3], read-only; `BadImageError` when it can't be decoded."""
    from model.inputs.tiling import tile_image  # loads a compiler, which counting tokens doesn't need

    try:
        decoded = decode_image(image_payload(image))
    except ImageProblemError as error:
        raise BadImageError(
            error.reason, f"image {image.path}: {error.reason} ({error}); run the validation step again"
        ) from error
    if decoded.size != (image.width, image.height):
        sizes = f"has {decoded.width}x{decoded.height} px, its row says {image.width}x{image.height}"
        raise BadImageError("image_changed", f"image {image.path} {sizes}; run the sourcing step again")
    tiles = tile_image(decoded, tiling)
    tiles.setflags(write=False)
    return tiles


def _stacked(tiles: Sequence[np.ndarray], size: int) -> np.ndarray:
    return np.concatenate(tiles) if tiles else np.zeros((0, size, size, 3), dtype=np.uint8)
