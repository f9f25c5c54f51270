"""A user's pictures, however they come, as the references that encoding takes."""

import base64
import binascii
import io
from os import PathLike
from typing import Any

from PIL import Image, ImageOps

from data.errors import AerieError
from data.files import read_bytes
from data.images import ImageProblemError, image_ref, to_rgb
from data.schema import ImageRef

ImageSource = ImageRef | Image.Image | bytes | str | PathLike[str]


def read_image(source: ImageSource) -> ImageRef:
    """A picture by path, encoded bytes, `data:` URL or PIL image; AerieError names the one that can't be used."""
    if isinstance(source, ImageRef):
        return source
    name = _name(source)
    try:
        return image_ref(_payload(source), name)
    except ImageProblemError as error:
        raise AerieError(f"image {name} can't be used: {error.reason} ({error})") from error


def _png(image: Image.Image) -> bytes:
    """A PIL image as a file, so that it meets the same decoder as all others; turned as its EXIF says."""
    sink = io.BytesIO()
    to_rgb(ImageOps.exif_transpose(image)).save(sink, "PNG", compress_level=1)
    return sink.getvalue()


def _name(source: Any) -> str:
    """What messages call it."""
    if isinstance(source, Image.Image):
        return "in memory"
    if isinstance(source, bytes) or str(source).startswith("data:"):
        return "in the given bytes"
    return str(source)


def _payload(source: Any) -> bytes:
    """The encoded file."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, Image.Image):
        return _png(source)
    if not isinstance(source, str | PathLike):
        raise AerieError(f"an image must be a path, bytes or a PIL image, not {type(source).__name__}")
    name = str(source)
    if name.startswith(("http://", "https://")):
        raise AerieError(f"image {name} lies on the web; fetch it first and give its path or bytes")
    if name.startswith("data:"):
        try:
            return base64.b64decode(name.partition(",")[2], validate=True)
        except binascii.Error as error:
            raise AerieError(f"a data URL isn't base64: {error}") from error
    return read_bytes(name.removeprefix("file://"))
