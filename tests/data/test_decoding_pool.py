"""Real processes that decode into shared memory."""

import io
import multiprocessing
import os
import signal
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from data.curation.ahead import PIECE
from data.curation.decoding import EncodedPicture
from data.curation.decoding_pool import FILES_ROOM, DecodingPool
from data.curation.picture_encoders import Preparation
from data.errors import AerieError
from data.images import decode_image, pixel_hash

PREPARE = Preparation(size=48)
BATCH = 40


def picture(seed, width=80, height=60):
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, kind):
    image.save(sink := io.BytesIO(), format=kind)
    return sink.getvalue()


@pytest.fixture(scope="module")
def pool():
    made = DecodingPool(PREPARE, BATCH)
    yield made
    made.close()


def test_pictures_come_in_order_with_what_is_wrong_with_them(pool):
    """Three times as many as there are slots: JPEGs known and unknown, PNGs, damaged ones."""
    kinds = [("JPEG", True), ("JPEG", False), ("PNG", False)]
    shown = [picture(seed, 80 + seed % 7, 60) for seed in range(3 * 5 * BATCH)]
    payloads = [encoded(one, kinds[seed % 3][0]) for seed, one in enumerate(shown)]
    for damaged in (7, 8, 9):  # a PNG, a known and an unknown JPEG
        payloads[damaged] = payloads[damaged][:60]
    files = [EncodedPicture(payload, f"{n}" if kinds[n % 3][1] else None) for n, payload in enumerate(payloads)]
    number = 0
    for batch in pool.batches(files):
        assert len(batch) == BATCH
        for one in batch:
            if number in (7, 8, 9):
                assert isinstance(one, str)
                assert "runcated" in one
            else:
                expected = decode_image(payloads[number])
                assert np.array_equal(one.of(pool.shared), np.asarray(expected))
                assert one.pixels == (str(number) if kinds[number % 3][1] else pixel_hash(expected))
            number += 1
    assert number == len(files)


def test_pictures_that_a_slot_has_no_room_for_are_made_smaller_by_the_process(pool):
    """Sixteen of 1,500 x 1,000 pixels, 4.3 MiB each, share 16 MiB: some lie there whole, and all are the same."""
    payload = encoded(picture(1, 1500, 1000), "JPEG")
    (known,) = pool.batches([EncodedPicture(payload, "known")] * PIECE)
    views = [one.of(pool.shared) for one in known]
    whole, small = np.asarray(decode_image(payload)), PREPARE(decode_image(payload))
    sizes = [view.shape for view in views]
    assert sizes == sorted(sizes, reverse=True)
    assert set(sizes) == {whole.shape, small.shape}
    assert all(np.array_equal(view, whole if view.shape == whole.shape else small) for view in views)
    assert all(one.stop <= other.start for one, other in pairwise(known))


def test_files_that_a_slot_has_no_room_for_go_along(pool):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8))
    payloads = [encoded(one, "PNG") for one in (picture(1), noise, picture(2))]
    assert len(payloads[1]) > FILES_ROOM > len(payloads[0])
    (found,) = pool.batches([EncodedPicture(payload, None) for payload in payloads])
    for one, payload in zip(found, payloads, strict=True):
        assert np.array_equal(one.of(pool.shared), np.asarray(decode_image(payload)))


def test_who_gives_up_waiting_spoils_nobodys_pictures():
    made = DecodingPool(PREPARE, PIECE)
    small, large = (EncodedPicture(encoded(picture(0, side, side), "PNG"), None) for side in (9, 400))
    for _ in range(3):
        next(made.batches([large] * 20 * PIECE))  # three more batches are in work
    for batch in made.batches([small] * 5 * PIECE):
        assert all(np.array_equal(one.of(made.shared), np.asarray(picture(0, 9, 9))) for one in batch)
    made.close()


def test_a_killed_process_is_said_so():
    others = {process.pid for process in multiprocessing.active_children()}
    made = DecodingPool(PREPARE, PIECE)
    batches = made.batches([EncodedPicture(encoded(picture(1), "PNG"), None)] * 200 * PIECE)
    next(batches)
    victim = next(process.pid for process in multiprocessing.active_children() if process.pid not in others)
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(AerieError, match="a process that decodes pictures died"):
        list(batches)
    made.close()
