import pytest
import torch

from model.vision.mixture import MixtureOfEncoders, pixel_shuffle


def reference_shuffle(x):
    """InternVL's two steps ("v2"), as reference_numbers.md describes them."""
    n, w, h, c = x.shape
    x = x.view(n, w, h // 2, c * 2).permute(0, 2, 1, 3).contiguous()
    return x.view(n, h // 2, w // 2, c * 4).permute(0, 2, 1, 3).contiguous()


def test_pixel_shuffle_has_the_references_orientation():
    x = torch.arange(2 * 4 * 6 * 3).view(2, 4, 6, 3)
    assert torch.equal(pixel_shuffle(x), reference_shuffle(x))


def test_pixel_shuffle_by_its_index_formula():
    """Channel (2 r + c) C + k of token (i, j) is channel k of patch (2 i + r, 2 j + c)."""
    size, channels = 6, 5
    x = torch.randn(2, size, size + 2, channels)
    shuffled = pixel_shuffle(x)
    assert shuffled.shape == (2, size // 2, size // 2 + 1, 4 * channels)
    for i in range(size // 2):
        for j in range(size // 2 + 1):
            for r, c in ((0, 0), (0, 1), (1, 0), (1, 1)):
                start = (2 * r + c) * channels
                expected = x[:, 2 * i + r, 2 * j + c]
                assert torch.equal(shuffled[:, i, j, start : start + channels], expected)


def test_shapes_and_channel_order(tiny_settings):
    mixture = MixtureOfEncoders(tiny_settings).eval()
    tiles = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        features = mixture(tiles)
        siglip, convnext = pixel_shuffle(mixture.siglip(tiles)), mixture.convnext(tiles)
    assert features.shape == (3, 16, 4 * 16 + 24)
    assert torch.equal(features, torch.cat([siglip, convnext], -1).flatten(1, 2))


def test_siglip_alone(tiny_settings):
    alone = tiny_settings.model_copy(update={"convnext": None})
    mixture = MixtureOfEncoders(alone)
    assert mixture(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).shape == (1, 16, 64)


@pytest.mark.parametrize("key", ["head", "norm_pre"])
def test_unused_parts_hold_no_parameters(tiny_settings, key):
    tower = MixtureOfEncoders(tiny_settings).convnext
    assert not list(getattr(tower.trunk, key).parameters())
