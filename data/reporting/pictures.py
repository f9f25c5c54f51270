"""Pictures inside the page: data URIs, small ones scaled up by whole numbers, large ones shrunk."""

import base64
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

from data.images import ImageProblemError, decode_image, encode_png, image_size

# What a browser draws as it is; anything else is decoded here and embedded as PNG.
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
CRISP_BELOW = 1.0  # a picture shown at more than its own size keeps its hard pixels


@dataclass(frozen=True, slots=True)
class Embedded:
    """An `<img>`: its data URI, the size it is shown at in CSS pixels, and whether pixels stay hard."""

    uri: str
    width: int
    height: int
    crisp: bool


@lru_cache(maxsize=256)
def embedded(payload: bytes, target: int) -> Embedded | None:
    """A picture for a box of about `target` pixels; None when the bytes are not a picture."""
    try:
        width, height = image_size(payload)
        longest = max(width, height)
        if longest > 2 * target or not _mime(payload):
            # Twice the box: sharp on dense screens, yet a page of photographs stays small.
            payload = _shrunk(decode_image(payload), 2 * target)
    except ImageProblemError:
        return None
    scale = max(1, target // longest) if longest <= target else target / longest
    shown = max(1, round(width * scale)), max(1, round(height * scale))
    encoded = base64.b64encode(payload).decode()
    return Embedded(f"data:{_mime(payload)};base64,{encoded}", *shown, crisp=scale > CRISP_BELOW)


def _mime(payload: bytes) -> str:
    return next((mime for signature, mime in _SIGNATURES.items() if payload.startswith(signature)), "")


def _shrunk(image: Image.Image, side: int) -> bytes:
    image = image.convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return encode_png(image)
