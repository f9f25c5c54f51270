"""Pictures made ready for the network by threads, and the JPEGs that need no checks."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from data.curation.decoding import EncodedPicture, ReadyPicture, ThreadDecoder, ready_pictures, stacked
from data.curation.jpeg_header import jpeg_header
from data.curation.picture_encoders import Preparation
from data.curation.plain_jpeg import decoded_jpeg, plain_jpeg
from data.images import decode_image, pixel_hash

PREPARE = Preparation(size=48)


def picture(seed, width=80, height=60):
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, kind="JPEG", **options):
    image.save(sink := io.BytesIO(), format=kind, **options)
    return sink.getvalue()


def rotated():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(1), exif=exif)


def enlarged(payload):
    """The same file, whose header now claims 60,000 x 60,000 pixels."""
    at = payload.index(b"\xff\xc0") + 5
    return payload[:at] + (60_000).to_bytes(2, "big") * 2 + payload[at + 4 :]


@pytest.mark.parametrize(
    ("payload", "fits"),
    [
        (encoded(picture(1)), True),
        (encoded(picture(1), progressive=True), False),
        (encoded(picture(1).convert("L")), True),
        (encoded(picture(1).convert("CMYK")), False),
        (rotated(), False),
        (encoded(picture(1), "PNG"), False),
        (enlarged(encoded(picture(1))), False),
        (b"\xff\xd8 no picture", False),
        (b"", False),
    ],
    ids=["plain", "progressive", "grey", "cmyk", "rotated", "png", "bomb", "broken", "empty"],
)
def test_plain_jpegs_are_upright_and_of_one_pass(payload, fits):
    assert (plain_jpeg(payload) is not None) is fits


@pytest.mark.parametrize("kind", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_header_says_what_pillow_says(kind, progressive):
    payload = encoded(picture(1, 333, 77).convert(kind), progressive=progressive)
    header, image = jpeg_header(payload), Image.open(io.BytesIO(payload))
    assert (header.width, header.height, header.baseline) == (*image.size, not progressive)
    assert header.components == len(image.getbands())
    assert header.transform == image.info.get("adobe_transform")


@pytest.mark.parametrize("length", [0, 1, 2, 3, 11, 100, 158])
def test_a_header_cut_short_is_none(length):
    assert jpeg_header(encoded(picture(1))[:length]) is None


@pytest.mark.parametrize(("mode", "resample"), [("bilinear", 2), ("bicubic", 3)])
def test_pictures_are_resized_as_pillow_does(mode, resample):
    for seed, size in enumerate([(80, 60), (31, 200), (20, 20), (640, 480), (1, 90)]):
        image = picture(seed, *size)
        found = Preparation(size=48, mode=mode)(image).astype(int)
        assert np.abs(found - np.asarray(image.resize((48, 48), resample)).astype(int)).max() <= 1


def test_pictures_come_in_order_with_what_is_wrong_with_them():
    payloads = [encoded(picture(seed), "PNG" if seed % 3 else "JPEG") for seed in range(40)]
    payloads[7] = payloads[7][:60]
    made = ThreadDecoder(PREPARE, 16)
    batches = list(made.batches([EncodedPicture(payload, None) for payload in payloads]))
    made.close()
    assert [len(batch) for batch in batches] == [16, 16, 8]
    ready = [one for batch in batches for one in batch]
    assert isinstance(ready[7], str)
    assert "Truncated" in ready[7] or "truncated" in ready[7]
    for number, (payload, one) in enumerate(zip(payloads, ready, strict=True)):
        if number != 7:
            assert one.pixels == pixel_hash(decode_image(payload))
            assert np.array_equal(one.network, PREPARE(decode_image(payload)))


@pytest.mark.parametrize("kind", ["RGB", "L"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_known_jpeg_has_pillows_pixels(kind, subsampling):
    payload = encoded(
        picture(3, 333, 77).convert(kind), quality=80, **({"subsampling": subsampling} if kind == "RGB" else {})
    )
    known, unknown = (ready_pictures(PREPARE, [EncodedPicture(payload, mark)])[0] for mark in ("mark", None))
    assert (known.pixels, unknown.pixels) == ("mark", pixel_hash(decode_image(payload)))
    assert np.array_equal(known.network, unknown.network)


def test_a_jpeg_is_decoded_into_the_room_that_is_given():
    payload = encoded(picture(3, 33, 21))
    room = np.zeros(33 * 21 * 3 + 100, np.uint8)
    pixels = decoded_jpeg(payload, plain_jpeg(payload), room)
    assert np.shares_memory(pixels, room)
    assert np.array_equal(room[: pixels.size].reshape(21, 33, 3), np.asarray(decode_image(payload)))
    assert not room[pixels.size :].any()


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_a_known_jpeg_that_was_damaged_since_is_said_so(kept):
    payload = encoded(picture(1, 200, 100))
    (found,) = ready_pictures(PREPARE, [EncodedPicture(payload[: int(kept * len(payload))], "known")])
    assert isinstance(found, str)


def test_a_known_hash_is_not_computed_again():
    decoder = ThreadDecoder(PREPARE, 4)
    (batch,) = decoder.batches([EncodedPicture(encoded(picture(1)), "known")])
    decoder.close()
    assert isinstance(batch[0], ReadyPicture)
    assert batch[0].pixels == "known"


def test_stacking_keeps_arrays_and_tensors():
    pictures = [PREPARE(picture(1)), PREPARE(picture(2))]
    assert np.array_equal(stacked(pictures), np.stack(pictures))
    assert torch.equal(stacked([torch.tensor(one) for one in pictures]), torch.tensor(np.stack(pictures)))
