"""Encoded images: decode with limits, hash pixels, encode PNG."""

import hashlib
import io
import warnings

from PIL import Image, TiffImagePlugin, WebPImagePlugin  # noqa: F401 - a plugin registers on import

from data.schema import ImageRef

MAX_PIXELS = 64_000_000  # 8000 x 8000: far above any training image, far below a decompression bomb
MAX_BYTES = 64 << 20  # a 64-megapixel photo as JPEG takes 30 MiB; what is larger is a scan or an attack
# By content, never by the name's extension. Others are left out for a reason: EPS and PDF run an interpreter, the rare
# ones have rarely been attacked and so rarely been mended.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
ANIMATED = ("GIF", "PNG", "WEBP", "TIFF")  # MPO's further pictures are previews of the first


class ImageProblemError(Exception):
    """An image that can't be used; `reason` is the quarantine reason, the message is the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _open(payload: bytes, max_pixels: int) -> Image.Image:
    """The opened header; the size is checked before a single pixel is decoded."""
    if len(payload) > MAX_BYTES:
        raise ImageProblemError("image_too_large", f"{len(payload)} bytes exceed {MAX_BYTES} bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
        try:
            image = Image.open(io.BytesIO(payload), formats=FORMATS)
        except Image.DecompressionBombError as error:  # Pillow's own limit, which lies above ours
            raise ImageProblemError("image_too_large", str(error)) from None
    if image.width * image.height > max_pixels:
        raise ImageProblemError("image_too_large", f"{image.width}x{image.height} px exceeds {max_pixels} pixels")
    return image


def _corrupt(error: Exception) -> ImageProblemError:
    return ImageProblemError("corrupt_image", f"{type(error).__name__}: {error}".split(" <_io")[0][:200])


def image_size(payload: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(width, height) in pixels from the header alone; raises `ImageProblemError`."""
    try:
        return _open(payload, max_pixels).size
    except ImageProblemError:
        raise
    except Exception as error:  # PIL raises many kinds on broken files (OSError, SyntaxError, ValueError, struct.error)
        raise _corrupt(error) from error


def decode_image(payload: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The fully decoded RGB image; raises `ImageProblemError` on anything broken, truncated or oversized."""
    try:
        _open(payload, max_pixels).verify()  # checksums; leaves the object unusable, hence the second open
        image = _open(payload, max_pixels)
        image.load()
        return image.convert("RGB")
    except ImageProblemError:
        raise
    except Exception as error:
        raise _corrupt(error) from error


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
    """A reference with the size that the header declares, for a picture of one frame.

    Raises `ImageProblemError`: `corrupt_image`, `image_too_large` or `animated_image`. The pixels are decoded once,
    when the canonical table is validated: only there a truncated file is found.
    """
    try:
        image = _open(payload, MAX_PIXELS)
        if image.format in ANIMATED and getattr(image, "is_animated", False):
            raise ImageProblemError("animated_image", f"{image.format} with several frames: which one is meant?")
        size = image.size
    except ImageProblemError:
        raise
    except Exception as error:
        raise _corrupt(error) from error
    return ImageRef(bytes=payload, path=path, width=size[0], height=size[1])
