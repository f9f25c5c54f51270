"""Messages as transformers' chat format writes them, to our turns and images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.errors import AerieError
from data.schema import IMAGE_PLACEHOLDER, ImageRef, Turn
from model.images import read_image

Message = Mapping[str, Any]
IMAGE_KEYS = ("image", "path", "url", "base64")  # where a part of type `image` may hold its picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """`system` is None where the messages have no system turn: the recipe's prompt stands there."""

    system: str | None
    turns: tuple[Turn, ...]
    images: tuple[ImageRef, ...]


def read_messages(messages: Sequence[Message]) -> Conversation:
    """The conversation of a list of `{"role", "content"}`; content is text or a list of text and image parts.

    AerieError: an unknown role or part, an image that can't be read, the image placeholder written in a text part.
    """
    system, turns, images = None, [], []
    for number, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in ("system", "user", "assistant") or (role == "system" and number):
            raise AerieError(f"message {number} has role {role!r}; use user and assistant, and system only first")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        pieces = [_piece(part, number) for part in parts]
        images += [piece for piece in pieces if isinstance(piece, ImageRef)]
        text = "".join(IMAGE_PLACEHOLDER if isinstance(piece, ImageRef) else piece for piece in pieces)
        if role == "system":
            system = text
        else:
            turns.append(Turn(role=role, content=text))
    return Conversation(system=system, turns=tuple(turns), images=tuple(images))


def _piece(part: Message, number: int) -> str | ImageRef:
    """A part's text, or its picture."""
    if part.get("type") == "text":
        text = str(part.get("text", ""))
        if IMAGE_PLACEHOLDER in text:
            raise AerieError(
                f"message {number} writes {IMAGE_PLACEHOLDER} as text; give the image as a part of its own"
            )
        return text
    if part.get("type") == "image_url":  # OpenAI's spelling
        return _checked(part.get("image_url", {}).get("url"), number)
    if part.get("type") != "image":
        raise AerieError(f"message {number} has a part of type {part.get('type')!r}; this model takes text and image")
    given = [part[key] for key in IMAGE_KEYS if part.get(key) is not None]
    if len(given) != 1:
        raise AerieError(f"message {number} has an image part with {len(given)} pictures; give one of {IMAGE_KEYS}")
    return _checked(given[0] if part.get("base64") is None else f"data:;base64,{given[0]}", number)


def _checked(source: Any, number: int) -> ImageRef:
    try:
        return read_image(source)
    except AerieError as error:
        raise AerieError(f"message {number}: {error}") from error
