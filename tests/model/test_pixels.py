"""Each tower's pixels, against the reference's way of preparing them and under low precision."""

import pytest
import torch
from torch.nn import functional as F

from model.vision.convnext import ConvNextTower
from model.vision.mixture import MixtureOfEncoders
from model.vision.pixels import CLIP_PIXELS, SIGLIP_PIXELS

SIDE = 64


@pytest.fixture
def tiles():
    return torch.randint(0, 256, (2, SIDE, SIDE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def reference_siglip(tiles):
    """ToTensor and Normalize with SigLIP's numbers, as the reference's transform does."""
    return (tiles.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5


def reference_clip(tiles, side):
    """SigLIP's pixels, mapped to CLIP's mean and deviation, then resized: the reference's order."""
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    pixels = (reference_siglip(tiles) * 0.5 + 0.5 - mean) / std
    return F.interpolate(pixels.to(torch.float32), (side, side), mode="bilinear", align_corners=True)


def test_siglip_pixels_are_the_references(tiles):
    assert (SIGLIP_PIXELS(tiles) - reference_siglip(tiles)).abs().max() < 1e-6


def test_convnext_pixels_are_the_references(tiny_settings, tiles):
    assert (ConvNextTower(tiny_settings.convnext).pixels(tiles) - reference_clip(tiles, 128)).abs().max() < 2e-6


def test_every_byte_reaches_its_channel():
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    tiles = torch.cat([ramp, 255 - ramp, ramp // 2], dim=-1)
    for channel in range(3):
        byte = tiles[..., channel].double()
        expected = (byte / 255 - CLIP_PIXELS.mean[channel]) / CLIP_PIXELS.std[channel]
        assert (CLIP_PIXELS(tiles)[:, channel] - expected).abs().max() < 1e-6


def test_the_resize_keeps_the_corners(tiny_settings, tiles):
    pixels = ConvNextTower(tiny_settings.convnext).pixels(tiles)
    assert torch.allclose(pixels[..., ::127, ::127], CLIP_PIXELS(tiles)[..., :: SIDE - 1, :: SIDE - 1], atol=1e-6)


@pytest.mark.parametrize("cast", ["module", "autocast"])
def test_bfloat16_neither_rounds_the_constants_nor_the_resize(tiny_settings, tiles, cast, monkeypatch):
    exact = reference_clip(tiles, 128)
    mixture = MixtureOfEncoders(tiny_settings)
    if cast == "module":
        mixture = mixture.to(torch.bfloat16)
    resized, stem, patches = [], [], []
    interpolate = F.interpolate

    def watched(pixels, *arguments, **options):
        resized.append(interpolate(pixels, *arguments, **options))
        return resized[-1]

    monkeypatch.setattr(F, "interpolate", watched)
    mixture.convnext.trunk.stem.register_forward_pre_hook(lambda _, inputs: stem.append(inputs[0]))
    mixture.siglip.vision_model.register_forward_pre_hook(lambda _, inputs: patches.append(inputs[0]))
    with torch.autocast("cpu", torch.bfloat16, enabled=cast == "autocast"):
        features = mixture(tiles)
    assert [pixels.dtype for pixels in (*resized, *patches)] == [torch.float32, torch.float32]
    assert (resized[0] - exact).abs().max() < 2e-6
    assert (patches[0] - reference_siglip(tiles)).abs().max() < 1e-6
    assert torch.equal(stem[0].float(), resized[0].to(stem[0].dtype).float())  # rounded once, at the stem's door
    assert features.dtype == torch.bfloat16 if cast == "module" else features.isfinite().all()


def test_constants_survive_the_meta_device(tiny_settings, tiles):
    """A network made empty and filled from a checkpoint has no buffer that anybody could forget to fill."""
    with torch.device("meta"):
        tower = ConvNextTower(tiny_settings.convnext)
    assert list(tower.buffers()) == []
    filled = tower.to_empty(device="cpu")
    assert (filled.pixels(tiles) - reference_clip(tiles, 128)).abs().max() < 2e-6
