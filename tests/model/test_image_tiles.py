"""From a row's picture to its tiles: odd pictures have their right tiles, bad ones an error that names them."""

import io

import numpy as np
import pytest
from PIL import ExifTags, Image

from data.errors import AerieError
from data.images import encode_png, image_ref
from data.schema import ImageRef
from model.config import TilingSettings
from model.inputs.encode import image_tiles
from model.inputs.grids import tile_count

SETTINGS = TilingSettings(tile_size=32, max_tiles=6, strategy="area")


def sideways(width: int, height: int) -> bytes:
    """A JPEG stored as `width` x `height` that a camera marked as turned by a quarter."""
    exif, sink = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (width, height), "red").save(sink, "JPEG", exif=exif)
    return sink.getvalue()


@pytest.mark.parametrize("size", [(1, 10_000), (10_000, 1), (7, 5), (64, 31)])
def test_any_shape_has_as_many_tiles_as_were_counted(size):
    ref = image_ref(encode_png(Image.new("RGB", size, "red")), "red.png")
    tiles = image_tiles(ref, SETTINGS)
    assert len(tiles) == tile_count(*size, SETTINGS) <= 7
    assert (tiles == (255, 0, 0)).all()
    assert not tiles.flags.writeable  # they are shared between the questions about a picture


def test_a_sideways_photo_is_counted_and_cut_upright():
    ref = image_ref(sideways(90, 30), "photo.jpg")
    assert (ref.width, ref.height) == (30, 90)
    assert len(image_tiles(ref, SETTINGS)) == tile_count(30, 90, SETTINGS)
    as_stored = ImageRef(bytes=ref.bytes, path="photo.jpg", width=90, height=30)  # a row from before
    with pytest.raises(AerieError, match=r"photo\.jpg has 30x90 px, its row says 90x30; run the sourcing step again"):
        image_tiles(as_stored, SETTINGS)


def test_ink_on_nothing_is_ink_on_white():
    drawing = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    drawing.paste((0, 0, 0, 255), (0, 0, 16, 32))
    tile = image_tiles(image_ref(encode_png(drawing), "formula.png"), SETTINGS)[0]
    assert (tile[:, :16] == 0).all()
    assert (tile[:, 16:] == 255).all()


def test_a_picture_of_sixteen_bits_is_not_white():
    ramp = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    tile = image_tiles(image_ref(encode_png(Image.fromarray(ramp)), "scan.png"), SETTINGS)[0]
    assert (tile == (ramp >> 8)[..., None]).all()


def test_pictures_that_cannot_be_used_are_named(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    moving, whole = io.BytesIO(), encode_png(Image.effect_noise((32, 32), 50))
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    cases = {
        "empty.png": (b"", "corrupt_image .*empty"),
        "half.png": (whole[: len(whole) // 2], "corrupt_image"),
        "moving.gif": (moving.getvalue(), "animated_image .*several frames"),
    }
    for name, (payload, problem) in cases.items():
        with pytest.raises(AerieError, match=rf"image {name}: {problem}"):
            image_tiles(ImageRef(bytes=payload, path=name, width=8, height=8), SETTINGS)
    gone = str(tmp_path / "gone.png")
    with pytest.raises(AerieError, match=rf"file not found: {gone}"):
        image_tiles(ImageRef(bytes=None, path=gone, width=8, height=8), SETTINGS)
    with pytest.raises(AerieError, match="neither bytes nor a path"):
        image_tiles(ImageRef(bytes=None, path=None, width=8, height=8), SETTINGS)
