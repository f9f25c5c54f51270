"""Encoded images: decode with limits to upright RGB, hash pixels, encode PNG."""

import hashlib
import io
import threading
import warnings

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, WebPImagePlugin  # noqa: F401 - a plugin registers on import

from data.errors import AerieError
from data.files import read_bytes
from data.schema import ImageRef

MAX_PIXELS = 64_000_000  # 8000 x 8000: far above any training image, far below a decompression bomb
MAX_BYTES = 64 << 20  # a 64-megapixel photo as JPEG takes 30 MiB; what is larger is a scan or an attack
# By content, never by the name's extension. Others are left out for a reason: EPS and PDF run an interpreter, the rare
# ones have rarely been attacked and so rarely been mended.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
ANIMATED = ("GIF", "PNG", "WEBP", "TIFF")  # MPO's further pictures are previews of the first
WITHOUT_RANGE = ("I", "F", "LAB")  # numbers that a file gives no black and white for, or no colours that we can show
SIXTEEN_BITS = ("PNG", "PPM")  # what these hold in mode I has a range: 0 to 65535
WHITE = 255
# EXIF 2.3, tag Orientation: what makes the stored picture upright. 1 is upright already.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)
_FILTERS = threading.Lock()  # the filters of warnings are the whole process's, and pictures are decoded in threads


class ImageProblemError(Exception):
    """An image that can't be used; `reason` is the quarantine reason, the message is the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _open(payload: bytes, max_pixels: int) -> Image.Image:
    """The opened header of one picture; the size is checked before a single pixel is decoded."""
    if not payload:
        raise ImageProblemError("corrupt_image", "the file is empty")
    if len(payload) > MAX_BYTES:
        raise ImageProblemError("image_too_large", f"{len(payload)} bytes exceed {MAX_BYTES} bytes")
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bombs: our own limit follows; of broken tags: only the pixels count
        try:
            image = Image.open(io.BytesIO(payload), formats=FORMATS)
        except Image.DecompressionBombError as error:  # Pillow's own limit, which lies above ours
            raise ImageProblemError("image_too_large", str(error)) from None
    if image.width * image.height > max_pixels:
        raise ImageProblemError("image_too_large", f"{image.width}x{image.height} px exceeds {max_pixels} pixels")
    if image.format in ANIMATED and getattr(image, "is_animated", False):
        raise ImageProblemError("animated_image", f"{image.format} with several frames: which one is meant?")
    _check_range(image)
    return image


def _check_range(image: Image.Image) -> None:
    """Refuse pixels that nobody can scale to 0..255: the file doesn't say which number is white."""
    if image.mode in WITHOUT_RANGE and not (image.mode == "I" and image.format in SIXTEEN_BITS):
        detail = f"{image.format} pixels of mode {image.mode} have no known range; save as 8- or 16-bit grey or RGB"
        raise ImageProblemError("unsupported_pixels", detail)


def _corrupt(error: Exception) -> ImageProblemError:
    return ImageProblemError("corrupt_image", f"{type(error).__name__}: {error}".split(" <_io")[0][:200])


def _orientation(image: Image.Image) -> int:
    """The header's EXIF orientation, 1 without one. What is read must not decode pixels, so that it costs nothing.

    Pillow turns a TIFF by itself. Broken EXIF is no reason to lose a picture. A PNG may hold EXIF behind its pixels:
    it is not looked for, so that size and pixels always agree.
    """
    exif = Image.Exif()
    try:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif.load(image.info.get("exif", b""))
            found = exif.get(ExifTags.Base.Orientation)
    except Exception:  # PIL raises many kinds on broken tags (SyntaxError, struct.error, KeyError, ...)
        return 1
    return found if image.format != "TIFF" and found in TURNS else 1


def _upright_size(image: Image.Image) -> tuple[int, int]:
    return (image.height, image.width) if _orientation(image) in SIDEWAYS else image.size


def image_size(payload: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(width, height) in pixels of what `decode_image` gives, from the header alone; raises `ImageProblemError`."""
    try:
        return _upright_size(_open(payload, max_pixels))
    except ImageProblemError:
        raise
    except Exception as error:  # PIL raises many kinds on broken files (OSError, SyntaxError, ValueError, struct.error)
        raise _corrupt(error) from error


def decode_image(payload: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The fully decoded picture as a person sees it: RGB, upright, transparent parts on white (`to_rgb`).

    Raises `ImageProblemError` on anything broken, truncated, oversized, animated or without a range of values.
    """
    try:
        _open(payload, max_pixels).verify()  # checksums; leaves the object unusable, hence the second open
        image = _open(payload, max_pixels)
        turn = TURNS.get(_orientation(image))  # before `load`, which may find more EXIF
        image.load()
        picture = to_rgb(image)
        return picture if turn is None else picture.transpose(turn)
    except ImageProblemError:
        raise
    except Exception as error:
        raise _corrupt(error) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB of a picture of any mode; an RGB picture is returned as it is.

    - Transparent parts lie on white, as on a page: what is drawn on nothing is mostly dark ink (formulas, charts,
      logos), and the colour that lies hidden under transparent pixels, often black, would cover it.
    - 16-bit grey keeps its upper 8 bits, as Pillow's decoder does with 16-bit colour, instead of clipping to white.
    - CMYK is read in Adobe's polarity (Pillow, browsers), without its colour profile.

    Raises `ImageProblemError` (`unsupported_pixels`) on 32-bit integers, floats and LAB.
    """
    _check_range(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = _upper_byte(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _upper_byte(image: Image.Image) -> Image.Image:
    """8-bit grey of 16-bit grey; the value that a PNG declares transparent becomes white."""
    values = np.asarray(image)
    grey = (values >> 8).astype(np.uint8)
    if (transparent := image.info.get("transparency")) is not None:
        grey[values == transparent] = WHITE
    return Image.fromarray(grey)


def pixel_hash(image: Image.Image) -> str:
    """SHA-256 of size and RGB pixels: equal pictures match even when they were encoded differently."""
    digest = hashlib.sha256(f"{image.width}x{image.height}".encode())
    digest.update(image.convert("RGB").tobytes())
    return digest.hexdigest()


def encode_png(image: Image.Image) -> bytes:
    """PNG bytes; the same pixels give the same bytes under one Pillow version."""
    sink = io.BytesIO()
    image.save(sink, format="PNG")
    return sink.getvalue()


def image_ref(payload: bytes, path: str) -> ImageRef:
    """A reference with the size that the header declares (upright), for a picture of one frame.

    Raises `ImageProblemError`: `corrupt_image`, `image_too_large`, `animated_image` or `unsupported_pixels`. The pixels
    are decoded once, when the canonical table is validated: only there a truncated file is found.
    """
    width, height = image_size(payload)
    return ImageRef(bytes=payload, path=path, width=width, height=height)


def image_payload(image: ImageRef) -> bytes:
    """The encoded bytes, from the row or from the file that it names; `AerieError` when there are none."""
    if image.bytes is not None:
        return image.bytes
    if not image.path:
        raise AerieError("the row has neither bytes nor a path")
    return read_bytes(image.path)
