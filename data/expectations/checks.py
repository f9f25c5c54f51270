"""Checks of one sample: structure first, then every image decoded. The first problem names the reason."""

from dataclasses import dataclass, replace

from data.errors import AerieError
from data.images import ImageProblemError, decode_image, image_payload, pixel_hash
from data.schema import CATEGORIES, IMAGE_PLACEHOLDER, Sample, plain_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a sample can't be used: `reason` is the ledger's word, `detail` is for people."""

    reason: str
    detail: str


def structure_problem(sample: Sample) -> Problem | None:
    """Category, turn order, empty turns, placeholders."""
    if sample.category not in CATEGORIES:
        return Problem(reason="unknown_category", detail=f"category {sample.category!r}")
    turns = sample.conversations
    if turns and turns[0].role == "system":
        turns = turns[1:]
    if len(turns) < 2:
        return Problem(reason="too_few_turns", detail=f"{len(turns)} turns, a question and an answer are needed")
    for index, turn in enumerate(turns):
        expected = "assistant" if index % 2 else "user"
        if turn.role != expected:
            return Problem(reason="broken_alternation", detail=f"turn {index} is {turn.role!r}, expected {expected!r}")
        if not plain_text(turn.content):
            kind = "empty_answer" if index % 2 else "empty_question"
            return Problem(reason=kind, detail=f"turn {index} has no text")
    if len(turns) % 2:
        return Problem(reason="no_final_answer", detail="the last turn is a question")
    return _placeholder_problem(sample)


def _placeholder_problem(sample: Sample) -> Problem | None:
    if any(IMAGE_PLACEHOLDER in turn.content for turn in sample.conversations if turn.role != "user"):
        return Problem(reason="placeholder_mismatch", detail=f"{IMAGE_PLACEHOLDER} outside a user turn")
    placed = placeholders(sample)
    if placed != len(sample.images):
        detail = f"{placed} {IMAGE_PLACEHOLDER} for {len(sample.images)} images"
        return Problem(reason="placeholder_mismatch", detail=detail)
    return None


def placeholders(sample: Sample) -> int:
    """How many images the text places."""
    return sum(turn.content.count(IMAGE_PLACEHOLDER) for turn in sample.conversations)


def image_hashes(sample: Sample) -> tuple[str, ...] | Problem:
    """The pixel hash of each image, or the first problem found while decoding."""
    hashes = []
    for index, image in enumerate(sample.images):
        try:
            decoded = decode_image(image_payload(image))
        except AerieError as error:
            return Problem(reason="missing_file", detail=f"image {index}: {error}")
        except ImageProblemError as problem:
            return Problem(reason=problem.reason, detail=f"image {index} ({image.path}): {problem}")
        if decoded.size != (image.width, image.height):
            detail = f"image {index} is {decoded.width}x{decoded.height}, declared {image.width}x{image.height}"
            return Problem(reason="wrong_image_size", detail=detail)
        hashes.append(pixel_hash(decoded))
    return tuple(hashes)


def with_hashes(sample: Sample, hashes: tuple[str, ...]) -> Sample:
    """The sample with the pixel hash of each image, so that no later step decodes a picture to know it again."""
    images = tuple(replace(image, pixels=pixels) for image, pixels in zip(sample.images, hashes, strict=True))
    return replace(sample, images=images)
