import pytest
from PIL import Image

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
