"""Messages as transformers' chat format writes them, to our turns and images."""

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from PIL import Image, ImageOps

from data.errors import AerieError
from data.files import read_bytes
from data.images import ImageProblemError, image_ref
from data.schema import IMAGE_PLACEHOLDER, ImageRef, Turn

Message = Mapping[str, Any]
ImageSource = ImageRef | Image.Image | bytes | str | PathLike[str]
IMAGE_KEYS = ("image", "path", "url", "base64")  # where a part of type `image` may hold its picture
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")


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


def read_image(source: ImageSource) -> ImageRef:
    """A picture by path, encoded bytes, `data:` URL or PIL image; AerieError names the one that can't be read."""
    if isinstance(source, ImageRef):
        return source
    name, payload = _payload(source)
    try:
        return image_ref(payload, name)
    except ImageProblemError as error:
        raise AerieError(f"image {name} can't be used: {error.reason} ({error})") from error


def _png(image: Image.Image) -> bytes:
    """A PIL image as a file, so that it meets the same decoder as all others; turned as its EXIF says."""
    upright, sink = ImageOps.exif_transpose(image), io.BytesIO()
    (upright if upright.mode in PNG_MODES else upright.convert("RGB")).save(sink, "PNG", compress_level=1)
    return sink.getvalue()


def _payload(source: Any) -> tuple[str, bytes]:
    """(name, encoded bytes)."""
    if isinstance(source, bytes):
        return "in the given bytes", source
    if isinstance(source, Image.Image):
        return "in memory", _png(source)
    if not isinstance(source, str | PathLike):
        raise AerieError(f"an image must be a path, bytes or a PIL image, not {type(source).__name__}")
    name = str(source)
    if name.startswith(("http://", "https://")):
        raise AerieError(f"image {name} lies on the web; fetch it first and give its path or bytes")
    if name.startswith("data:"):
        try:
            return "in the data URL", base64.b64decode(name.partition(",")[2], validate=True)
        except binascii.Error as error:
            raise AerieError(f"a data URL isn't base64: {error}") from error
    return name, read_bytes(name.removeprefix("file://"))
