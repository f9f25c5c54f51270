"""JPEGs that are known to be sound, decoded straight into an array: Pillow's very pixels, a fifth faster.

simplejpeg keeps no Python lock while it decodes; it and Pillow use the same library, libjpeg-turbo.
"""

import numpy as np
import simplejpeg

from data.curation.jpeg_header import JpegHeader, jpeg_header
from data.images import MAX_PIXELS


def plain_jpeg(payload: bytes) -> JpegHeader | None:
    """The header, if any decoder gives the same picture: a JPEG of usual colours, coding and size, upright for sure."""
    header = jpeg_header(payload)
    if header is None or not header.baseline or header.exif:
        return None
    usual = header.components == 1 or (header.components == 3 and header.transform in (None, 1))
    return header if usual and 0 < header.width * header.height <= MAX_PIXELS else None


def decoded_jpeg(payload: bytes, header: JpegHeader, room: np.ndarray | None = None) -> np.ndarray:
    """uint8 [height, width, 3], in `room` (uint8 [N]) if it is given; ValueError when the file is damaged at all."""
    need = header.height * header.width * 3
    pixels: np.ndarray = simplejpeg.decode_jpeg(payload, "RGB", buffer=None if room is None else room[:need])
    return pixels
