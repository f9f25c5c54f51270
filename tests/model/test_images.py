"""Pictures as users hand them over: files, bytes, data URLs, PIL images of any mode."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from data.errors import AerieError
from data.images import decode_image
from model.images import read_image


@pytest.fixture
def drawn() -> Image.Image:
    return Image.fromarray(np.arange(30 * 20 * 3, dtype=np.uint8).reshape(20, 30, 3))


def pixels(source) -> np.ndarray:
    return np.array(decode_image(read_image(source).bytes))


def test_every_way_shows_the_same_pixels(drawn, tmp_path):
    sink = io.BytesIO()
    drawn.save(sink, "PNG")
    path = tmp_path / "drawn.png"
    path.write_bytes(sink.getvalue())
    url = "data:image/png;base64," + base64.b64encode(sink.getvalue()).decode()
    for source in (drawn, path, str(path), f"file://{path}", sink.getvalue(), url, read_image(path)):
        assert (pixels(source) == np.array(drawn)).all()
    assert (read_image(path).width, read_image(path).height, read_image(path).path) == (30, 20, str(path))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "I;16"])
def test_a_pil_image_of_any_mode_is_read(drawn, mode):
    image = Image.fromarray(np.array(drawn.convert("L")).astype(np.uint16)) if mode == "I;16" else drawn.convert(mode)
    assert image.mode == mode
    assert pixels(image).shape == (20, 30, 3)


def test_a_pil_image_without_a_range_is_refused(drawn):
    with pytest.raises(AerieError, match="in memory can't be used: unsupported_pixels"):
        read_image(drawn.convert("L").convert("F"))


def test_a_pil_image_is_turned_as_its_exif_says(drawn):
    sink, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    drawn.save(sink, "JPEG", exif=exif)
    assert read_image(Image.open(sink)).width == 20


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("https://example.org/cat.png", "lies on the web; fetch it first"),
        ("data:image/png;base64,###", "isn't base64"),
        (b"no picture", "in the given bytes can't be used: corrupt_image"),
        (b"", "can't be used: corrupt_image"),
        (7, "must be a path, bytes or a PIL image, not int"),
        ("nowhere.png", "file not found: nowhere.png"),
        (".", "is a folder"),
    ],
)
def test_what_cannot_be_read_is_named(source, message):
    with pytest.raises(AerieError, match=message):
        read_image(source)
