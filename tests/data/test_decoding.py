"""Pictures made ready for the network: by threads, by processes, and what a GPU's JPEG decoder may take."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from data.curation.decoding import (
    CoreDecoder,
    EncodedPicture,
    GpuDecoder,
    ReadyPicture,
    ready_in_process,
    ready_pictures,
    stacked,
)
from data.curation.jpeg_gpu import _resized, is_plain_jpeg
from data.curation.jpeg_header import jpeg_header
from data.curation.picture_encoders import Preparation
from data.images import decode_image, pixel_hash
from data.shardwise import worker_pool

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


@pytest.mark.parametrize(
    ("payload", "fits"),
    [
        (encoded(picture(1)), True),
        (encoded(picture(1), progressive=True), False),
        (encoded(picture(1).convert("L")), True),
        (encoded(picture(1).convert("CMYK")), False),
        (rotated(), False),
        (encoded(picture(1), "PNG"), False),
        (encoded(picture(1, 2500, 1700)), False),
        (b"\xff\xd8 no picture", False),
        (b"", False),
    ],
    ids=["plain", "progressive", "grey", "cmyk", "rotated", "png", "large", "broken", "empty"],
)
def test_plain_jpegs_are_upright_and_of_one_pass(payload, fits):
    assert is_plain_jpeg(payload) is fits


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


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_tensors_are_resized_alike_whatever_their_sizes(mode, monkeypatch):
    monkeypatch.setattr("data.curation.jpeg_gpu.TOGETHER", 10_000)  # two of the small ones at a time
    sizes = [(80, 60), (31, 200), (80, 60), (20, 20), (80, 60), (80, 60)]
    pictures = [picture(seed, *size) for seed, size in enumerate(sizes)]
    tensors = [torch.from_numpy(np.array(one)).permute(2, 0, 1) for one in pictures]
    found = np.stack(_resized(tensors, 48, mode)).astype(int)
    expected = np.stack([Preparation(size=48, mode=mode)(one) for one in pictures]).astype(int)
    assert found.shape == (6, 48, 48, 3)
    assert np.abs(found - expected).max() <= 3  # bytes are rounded, and clipped, after each of two passes
    assert np.abs(found - expected).mean() < 0.3


def test_pictures_come_in_order_with_what_is_wrong_with_them():
    payloads = [encoded(picture(seed), "PNG" if seed % 3 else "JPEG") for seed in range(40)]
    payloads[7] = payloads[7][:60]
    made = CoreDecoder(PREPARE)
    batches = list(made.batches([EncodedPicture(payload, None) for payload in payloads], 16))
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


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_a_known_jpeg_that_was_damaged_since_is_said_so(kept):
    payload = encoded(picture(1, 200, 100))
    (found,) = ready_pictures(PREPARE, [EncodedPicture(payload[: int(kept * len(payload))], "known")])
    assert isinstance(found, str)


def test_processes_make_the_same_pictures():
    pictures = [EncodedPicture(encoded(picture(seed), "PNG"), None) for seed in range(3)]
    threads = torch.get_num_threads()
    with worker_pool(1) as pool:
        found = pool.submit(ready_in_process, PREPARE, pictures).result()
    assert [one.pixels for one in found] == [one.pixels for one in ready_pictures(PREPARE, pictures)]
    assert torch.get_num_threads() == threads


def test_a_known_hash_is_not_computed_again():
    decoder = CoreDecoder(PREPARE)
    (batch,) = decoder.batches([EncodedPicture(encoded(picture(1)), "known")], 4)
    decoder.close()
    assert isinstance(batch[0], ReadyPicture)
    assert batch[0].pixels == "known"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_nearly_the_same_pictures_in_the_same_order():
    payloads = [encoded(picture(seed, 160, 120), "PNG" if seed % 3 == 0 else "JPEG") for seed in range(40)]
    payloads[9] = payloads[9][:60]
    pictures = [EncodedPicture(payload, str(seed) if seed % 2 else None) for seed, payload in enumerate(payloads)]
    found = []
    for kind in (GpuDecoder, CoreDecoder):
        decoder = kind(PREPARE)
        found.append([one for batch in decoder.batches(pictures, 16) for one in batch])
        decoder.close()
    assert [number for number, one in enumerate(found[0]) if isinstance(one, str)] == [9]
    for gpu, cores in zip(*found, strict=True):
        if not isinstance(gpu, str):
            assert gpu.pixels == cores.pixels
            assert gpu.network.is_cuda
            assert np.abs(gpu.network.cpu().numpy().astype(int) - cores.network.astype(int)).mean() < 3


def test_stacking_keeps_arrays_and_tensors():
    pictures = [PREPARE(picture(1)), PREPARE(picture(2))]
    assert np.array_equal(stacked(pictures), np.stack(pictures))
    assert torch.equal(stacked([torch.tensor(one) for one in pictures]), torch.tensor(np.stack(pictures)))
