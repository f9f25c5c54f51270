"""A user's pictures, however they come, as the references that encoding takes."""

import base64
import binascii
import io
from os import PathLike
from typing import Any

from PIL import Image, ImageOps

from data.errors import AerieError
from data.files import read_bytes
from data.images import ImageProblemError, image_ref
from data.schema import ImageRef

ImageSource = ImageRef | Image.Image | bytes | str | PathLike[str]
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")


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
