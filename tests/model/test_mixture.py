import pytest
import torch
from torch.nn import functional as F

from model.vision.mixture import MixtureOfEncoders, pixel_shuffle
from model.vision.pixels import CLIP_PIXELS


def reference_shuffle(x):
    """InternVL's two steps ("v2"), as reference_numbers.md describes them."""
    n, w, h, c = x.shape
    x = x.view(n, w, h // 2, c * 2).permute(0, 2, 1, 3).contiguous()
    return x.view(n, h // 2, w // 2, c * 4).permute(0, 2, 1, 3).contiguous()


def test_pixel_shuffle_has_the_references_orientation():
    x = torch.arange(2 * 4 * 6 * 3).view(2, 4, 6, 3)
    assert torch.equal(pixel_shuffle(x), reference_shuffle(x))


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


def test_convnext_pixels_equal_the_references_two_step_normalisation(tiny_settings):
    tower = MixtureOfEncoders(tiny_settings).convnext
    seen = []
    tower.trunk.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    tiles = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    tower(tiles)
    siglip = (tiles.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (CLIP_PIXELS.mean, CLIP_PIXELS.std))
    expected = F.interpolate((siglip * 0.5 + 0.5 - mean) / std, (128, 128), mode="bilinear", align_corners=True)
    assert torch.allclose(seen[0], expected, atol=1e-5)


def test_both_towers_matter(tiny_settings):
    mixture = MixtureOfEncoders(tiny_settings)
    loss = mixture(torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)).square().mean()
    loss.backward()
    for name, parameter in mixture.named_parameters():
        assert parameter.grad is not None, name


@pytest.mark.parametrize("key", ["head", "norm_pre"])
def test_unused_parts_hold_no_parameters(tiny_settings, key):
    tower = MixtureOfEncoders(tiny_settings).convnext
    assert not list(getattr(tower.trunk, key).parameters())
