import io
import random
import struct
import sys
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from data import images
from data.images import ImageProblemError, decode_image, encode_png, image_ref, image_size, pixel_hash

PNG = encode_png(Image.linear_gradient("L").resize((40, 20)))


def test_decodes_to_rgb_and_declares_the_size():
    assert decode_image(PNG).mode == "RGB"
    assert (image_ref(PNG, "a.png").width, image_ref(PNG, "a.png").height) == (40, 20)


@pytest.mark.parametrize("payload", [b"", b"not an image", PNG[: len(PNG) // 2], PNG[:-30] + bytes(30)])
def test_broken_bytes_are_corrupt(payload):
    with pytest.raises(ImageProblemError) as caught:
        decode_image(payload)
    assert caught.value.reason == "corrupt_image"


def test_a_bomb_is_refused_before_its_pixels_are_decoded():
    for reader in (decode_image, image_size):
        with pytest.raises(ImageProblemError, match="exceeds 100 pixels") as caught:
            reader(PNG, max_pixels=100)
        assert caught.value.reason == "image_too_large"


def test_pixel_hash_ignores_the_encoding_but_not_the_shape():
    image = decode_image(PNG)
    assert pixel_hash(decode_image(encode_png(image))) == pixel_hash(image)
    assert pixel_hash(image.rotate(90, expand=True)) != pixel_hash(image)


def encoded(kind, size=(40, 20), frames=1, **options):
    sink = io.BytesIO()
    images = [Image.linear_gradient("L").resize(size).rotate(90 * n).convert("RGB") for n in range(frames)]
    images[0].save(sink, kind, **({"save_all": True, "append_images": images[1:]} if frames > 1 else {}), **options)
    return sink.getvalue()


def outcome(reader, payload):
    """What a reader gives, or the reason of its refusal."""
    try:
        return reader(payload)
    except ImageProblemError as problem:
        return problem.reason


def chunk(kind, payload):
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png_of(width, height, *more):
    """A PNG whose header claims a size; its pixels are a handful of bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_formats_are_told_by_content(kind):
    payload = encoded(kind)
    assert image_size(payload) == decode_image(payload).size == (40, 20)
    assert image_ref(payload, "name.of.another.kind.svg").width == 40


def test_formats_that_run_programs_or_are_rare_are_refused():
    for payload in (
        encoded("EPS"),
        encoded("PDF"),
        encoded("ICO", (32, 32)),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ):
        for reader in (decode_image, image_size):
            with pytest.raises(ImageProblemError) as caught:
                reader(payload)
            assert caught.value.reason == "corrupt_image"


@pytest.mark.parametrize("size", [(31_623, 31_623), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1)])
def test_a_png_of_a_thousand_million_pixels_costs_nothing(size):
    tracemalloc.start()
    for reader in (decode_image, image_size, lambda payload: image_ref(payload, "bomb.png")):
        with pytest.raises(ImageProblemError) as caught:
            reader(png_of(*size))
        assert caught.value.reason == "image_too_large"
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_bombs_in_the_text_and_colour_profile_of_a_png():
    deflated = zlib.compress(bytes(256 << 20), 9)
    for kind, head in ((b"zTXt", b"Comment\0\0"), (b"iCCP", b"icc\0\0"), (b"iTXt", b"Comment\0\1\0\0\0")):
        payload = png_of(10, 10, chunk(kind, head + deflated))
        assert outcome(image_size, payload) in {(10, 10), "corrupt_image"}  # what is not unpacked does no harm


def test_too_many_bytes_are_refused_unread(monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 50)
    with pytest.raises(ImageProblemError, match="exceed 50 bytes") as caught:
        image_ref(PNG, "a.png")
    assert caught.value.reason == "image_too_large"


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_nobody_knows_which_frame_is_meant(kind):
    with pytest.raises(ImageProblemError) as caught:
        image_ref(encoded(kind, frames=3), "a")
    assert caught.value.reason == "animated_image"


def test_a_phones_photo_with_its_preview_is_one_picture():
    assert image_ref(encoded("MPO", frames=2), "a.jpg").width == 40


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_a_file_cut_anywhere_is_never_taken_for_whole(kind):
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    sink = io.BytesIO()
    noise.save(sink, kind)
    whole = sink.getvalue()
    for part in (0.02, 0.3, 0.6, 0.9):
        with pytest.raises(ImageProblemError) as caught:
            decode_image(whole[: int(len(whole) * part)])
        assert caught.value.reason == "corrupt_image"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own words about broken tags
def test_random_damage_is_a_picture_or_a_problem():
    rng = random.Random(3)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"):
        whole = encoded(kind)
        for _ in range(60):
            damaged = bytearray(whole)
            for _ in range(4):
                damaged[rng.randrange(min(len(whole), 200))] = rng.randrange(256)
            for reader in (decode_image, lambda payload: image_ref(payload, "a")):
                found = outcome(reader, bytes(damaged))
                assert not isinstance(found, str) or found in {"corrupt_image", "image_too_large", "animated_image"}


def test_threads_that_decode_leave_the_process_its_warnings():
    """Their filters are the process's: two that come and go at once could leave them silenced for good."""
    before, payload, interval = list(warnings.filters), png_of(8, 8), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: outcome(decode_image, payload), range(2000)))
        assert warnings.filters == before
    finally:
        sys.setswitchinterval(interval)
        warnings.filters[:] = before
