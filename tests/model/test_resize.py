"""The fast resize against Pillow's, pixel by pixel."""

import random

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.inputs.resize import ROWS, resize

SIDES = st.integers(1, 150)


def by_pillow(pixels, width, height):
    """Pillow's own; one before 13 is told the order of passes that 13 has."""
    image, steps = Image.fromarray(pixels), [(width, height)]
    if int(PIL.__version__.split(".")[0]) < 13:
        tall = height < image.height and image.height - height > 2 * (image.width - width)
        steps.insert(0, (image.width, height) if tall else (width, image.height))
    for size in steps:
        image = image.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image)


def noise(width, height, seed=0):
    """Black and white points: the hardest edges, where a bicubic overshoots most."""
    return np.random.default_rng(seed).choice(np.array([0, 255], np.uint8), (height, width, 3))


@settings(max_examples=150, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES)
def test_any_size_to_any_size_is_pillows_bit_for_bit(width, height, new_width, new_height):
    pixels = noise(width, height)
    assert (resize(pixels, new_width, new_height) == by_pillow(pixels, new_width, new_height)).all()


@pytest.mark.parametrize("size", [(640, 480), (1241, 877), (1, 3001), (3001, 1), (449, 447), (7, ROWS), (5, ROWS + 1)])
@pytest.mark.parametrize("wanted", [(448, 448), (1344, 896)])
def test_photographs_documents_and_lines_to_tiles(size, wanted):
    width, height = size
    across, down = np.linspace(0, 9, width)[None, :, None], np.linspace(0, 7, height)[:, None, None]
    smooth = (
        np.sin(across * down + np.arange(3)) * 120 + 128 + np.random.default_rng(1).normal(0, 9, (height, width, 3))
    )
    pixels = smooth.clip(0, 255).astype(np.uint8)
    assert (resize(pixels, *wanted) == by_pillow(pixels, *wanted)).all()


def test_the_same_size_is_the_same_picture():
    pixels = noise(50, 40)
    assert (resize(pixels, 50, 40) == pixels).all()


def test_rows_that_do_not_lie_side_by_side_in_memory():
    pixels = noise(90, 80)[::2, 10:70]
    assert (resize(pixels, 31, 17) == by_pillow(np.ascontiguousarray(pixels), 31, 17)).all()


def test_read_only_pixels_and_repeated_calls():
    dice = random.Random(0)
    for _ in range(5):
        pixels = np.asarray(Image.fromarray(noise(40, 30, seed=dice.randrange(99))))  # read-only: Pillow's own
        assert (resize(pixels, 64, 64) == by_pillow(pixels, 64, 64)).all()
