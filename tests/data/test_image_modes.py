"""Odd pictures: each decodes to what a person sees, or is refused with its reason; header and pixels always agree."""

import io
import warnings

import numpy as np
import pytest
from PIL import ExifTags, Image

from data.errors import AerieError
from data.expectations.checks import image_hashes
from data.images import ImageProblemError, decode_image, encode_png, image_payload, image_ref, image_size, to_rgb
from data.schema import ImageRef, Turn, make_sample

BLACK, WHITE, RED, BLUE = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255)


def encoded(image, kind="PNG", **options):
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def colour(payload, x=0, y=0):
    return decode_image(payload).getpixel((x, y))


def agree(payload):
    """Header, reference, pixels and the validation step all speak of one size; gives it."""
    ref = image_ref(payload, "picture")
    turns = (Turn(role="user", content="<image> what?"), Turn(role="assistant", content="that"))
    sample = make_sample(source="s", category="general_vqa", images=(ref,), conversations=turns, meta={})
    assert image_size(payload) == (ref.width, ref.height) == decode_image(payload).size
    assert isinstance(image_hashes(sample), tuple)
    return ref.width, ref.height


def half_transparent(mode):
    """Two pixels: red (or black) that is seen, then black that lies hidden under nothing."""
    ink = {"RGBA": (*RED, 255), "LA": (0, 255)}[mode]
    image = Image.new(mode, (2, 1), ink)
    image.putpixel((1, 0), tuple(0 for _ in ink))
    return image


def with_key(image, key):
    """A PNG that calls one value transparent."""
    return encoded(image, transparency=key)


def test_transparent_parts_lie_on_white_not_on_the_colour_hidden_below():
    assert [colour(encoded(half_transparent("RGBA")), x) for x in (0, 1)] == [RED, WHITE]
    assert [colour(encoded(half_transparent("LA")), x) for x in (0, 1)] == [BLACK, WHITE]
    half = Image.new("RGBA", (1, 1), (0, 0, 0, 128))
    assert colour(encoded(half)) == (127, 127, 127)
    for kind in ("WEBP", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        assert colour(encoded(half_transparent("RGBA"), kind, **options), 1) == WHITE


def test_palettes_with_transparency():
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *BLACK, *BLUE])
    for x in range(3):
        image.putpixel((x, 0), x)
    one, many = encoded(image, transparency=1), encoded(image, transparency=bytes([255, 0, 128]))
    assert [colour(one, x) for x in range(3)] == [RED, WHITE, BLUE]
    assert [colour(many, x) for x in range(3)] == [RED, WHITE, (127, 127, 255)]
    assert [colour(encoded(image, "GIF", transparency=1), x) for x in range(3)] == [RED, WHITE, BLUE]
    assert [colour(encoded(image), x) for x in range(3)] == [RED, BLACK, BLUE]


def test_one_value_of_a_png_may_be_transparent():
    grey = Image.new("L", (2, 1), 90)
    grey.putpixel((1, 0), 7)
    assert [colour(with_key(grey, 7), x) for x in (0, 1)] == [(90,) * 3, WHITE]
    rgb = Image.new("RGB", (2, 1), BLUE)
    rgb.putpixel((1, 0), (1, 2, 3))
    assert [colour(with_key(rgb, (1, 2, 3)), x) for x in (0, 1)] == [BLUE, WHITE]
    deep = Image.fromarray(np.array([[0x1234, 0x1200]], np.uint16))
    assert [colour(with_key(deep, 0x1200), x) for x in (0, 1)] == [(0x12,) * 3, WHITE]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_picture_without_a_transparent_pixel_keeps_its_pixels(mode):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, len(mode)), np.uint8)
    pixels[..., -1] = 255
    decoded = np.asarray(decode_image(encoded(Image.fromarray(pixels, mode=None))))
    assert (decoded == (pixels[..., :3] if mode == "RGBA" else pixels[..., :1])).all()


def test_sixteen_bits_of_grey_are_scaled_not_clipped_to_white():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(4, 16)
    for kind in ("PNG", "TIFF", "PPM"):
        payload = encoded(Image.fromarray(ramp), kind)
        assert (np.asarray(decode_image(payload)) == (ramp >> 8)[..., None]).all()
        assert agree(payload) == (16, 4)
    assert (np.asarray(to_rgb(Image.fromarray(ramp.astype(">u2")))) == (ramp >> 8)[..., None]).all()


def test_one_bit_is_black_and_white():
    image = Image.new("1", (9, 2), 1)
    image.putpixel((8, 1), 0)
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        assert [colour(encoded(image, kind), x, 1) for x in (0, 8)] == [WHITE, BLACK]


def without_segment(jpeg, marker):
    """A JPEG without its segments of one kind."""
    kept, at = jpeg[:2], 2
    while jpeg[at + 1] != 0xDA:
        size = 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        kept += b"" if jpeg[at + 1] == marker else jpeg[at : at + size]
        at += size
    return kept + jpeg[at:]


def test_cmyk_with_and_without_adobes_mark():
    """Both are stored inverted: what programs write, and what browsers take for granted."""
    red = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")
    assert b"Adobe" in red[:60]
    bare = without_segment(red, 0xEE)
    assert b"Adobe" not in bare
    for payload in (red, bare):
        assert np.abs(np.subtract(colour(payload, 5, 5), RED)).max() <= 3
        assert agree(payload) == (16, 16)
    ink = encoded(Image.new("CMYK", (4, 4), (0, 0, 0, 255)), "TIFF")
    assert colour(ink) == BLACK


def photograph():
    """Upright, 6 x 4 blocks of 8 px: every turn of it differs."""
    blocks = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    return Image.fromarray(np.repeat(np.repeat(blocks, 8, 0), 8, 1)).convert("RGB")


STORED_AS = {  # what a camera does to the upright picture before it writes the tag: EXIF 2.3, 4.6.4 A, Orientation
    1: (),
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_90,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_270,),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_that_was_held_sideways_stands_upright(kind, orientation):
    stored, exif = photograph(), Image.Exif()
    for turn in STORED_AS[orientation]:
        stored = stored.transpose(turn)
    exif[ExifTags.Base.Orientation] = orientation
    payload = encoded(stored, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert agree(payload) == photograph().size
    difference = np.abs(np.asarray(decode_image(payload), np.int16) - np.asarray(photograph(), np.int16))
    assert difference.max() <= (2 if kind == "JPEG" else 0)


def test_broken_or_unknown_orientations_are_ignored():
    for exif in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nor does it talk about it
            assert agree(encoded(photograph(), "JPEG", exif=exif)) == (48, 32)
    unknown = Image.Exif()
    for value in (0, 9, 65535):
        unknown[ExifTags.Base.Orientation] = value
        assert agree(encoded(photograph(), "JPEG", exif=unknown)) == (48, 32)


@pytest.mark.parametrize("size", [(1, 10_000), (10_000, 1), (1, 1)])
def test_a_line_of_pixels_is_a_picture(size):
    assert agree(encode_png(Image.new("RGB", size))) == size


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_refused_by_every_reader(kind):
    frames = [Image.new("RGB", (8, 8), paint) for paint in (RED, BLUE)]
    payload = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    for reader in (decode_image, image_size, lambda found: image_ref(found, "a")):
        with pytest.raises(ImageProblemError, match="several frames") as caught:
            reader(payload)
        assert caught.value.reason == "animated_image"
    one = encoded(frames[0], kind)  # the same format with one frame is a picture
    assert agree(one) == (8, 8)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_without_a_range_are_refused_by_every_reader(dtype):
    image = Image.fromarray(np.array([[0, 1], [2, 70_000]], dtype))
    payload = encoded(image, "TIFF")
    for reader in (decode_image, image_size, lambda found: image_ref(found, "a")):
        with pytest.raises(ImageProblemError, match="save as 8- or 16-bit") as caught:
            reader(payload)
        assert caught.value.reason == "unsupported_pixels"
    with pytest.raises(ImageProblemError, match="no known range"):
        to_rgb(image)


def test_empty_truncated_and_missing_files_are_told_apart(tmp_path):
    with pytest.raises(ImageProblemError, match="the file is empty"):
        image_ref(b"", "a.png")
    noise = Image.effect_noise((64, 64), 80)
    with pytest.raises(ImageProblemError, match="truncated") as caught:
        decode_image(encoded(noise, "JPEG")[:900])
    assert caught.value.reason == "corrupt_image"
    gone = ImageRef(bytes=None, path=str(tmp_path / "gone.png"), width=1, height=1)
    with pytest.raises(AerieError, match=r"file not found: .*gone\.png"):
        image_payload(gone)
    with pytest.raises(AerieError, match="neither bytes nor a path"):
        image_payload(ImageRef(bytes=None, path=None, width=1, height=1))


def test_rgb_is_passed_on_as_it_is():
    image = photograph()
    assert to_rgb(image) is image
