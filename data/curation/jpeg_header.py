"""What a JPEG's header says, marker by marker: some microseconds a file, where an image library takes a hundred."""

from dataclasses import dataclass

BASELINE = (0xC0, 0xC1)  # Huffman coding, one pass: what decoders in hardware take
FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
APP1, APP14 = 0xE1, 0xEE


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Sizes in pixels. `exif`: there is camera data, which may turn the picture. `transform`: Adobe's colour code."""

    width: int
    height: int
    components: int
    baseline: bool
    exif: bool
    transform: int | None


def jpeg_header(payload: bytes) -> JpegHeader | None:
    """The header, or None when the bytes are no JPEG or end before it does (ITU T.81, annex B)."""
    at, exif, transform = 2, False, None
    if payload[:2] != b"\xff\xd8":
        return None
    while at + 9 < len(payload) and payload[at] == 0xFF:
        marker, length = payload[at + 1], int.from_bytes(payload[at + 2 : at + 4], "big")
        if marker in FRAMES:
            height, width = (int.from_bytes(payload[at + n : at + n + 2], "big") for n in (5, 7))
            return JpegHeader(width, height, payload[at + 9], marker in BASELINE, exif, transform)
        if marker == APP1:
            exif = exif or payload[at + 4 : at + 8] == b"Exif"
        elif marker == APP14 and payload[at + 4 : at + 9] == b"Adobe" and length >= 14:
            transform = payload[at + 15]
        at += 2 + length
    return None
