"""The towers against the raw modules of transformers and timm, fed with the reference's pixels."""

import pytest
import timm
import torch
from torch.nn import functional as F
from transformers import SiglipVisionConfig, SiglipVisionModel

from model.initialise import fan_in_
from model.vision.mixture import MixtureOfEncoders, pixel_shuffle

CLIP_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
CLIP_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)


@pytest.fixture
def tiles():
    return torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def siglip_pixels(tiles):
    return (tiles.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5


@pytest.fixture
def clip_pixels(siglip_pixels):
    pixels = (siglip_pixels * 0.5 + 0.5 - CLIP_MEAN) / CLIP_STD
    return F.interpolate(pixels, (128, 128), mode="bilinear", align_corners=True)


@pytest.fixture
def mixture(tiny_settings):
    """Both towers with weights at which every layer, LayerScale and norm matters."""
    torch.manual_seed(4)
    made = MixtureOfEncoders(tiny_settings).eval()
    fan_in_(made)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.ndim == 1:
                parameter.uniform_(-0.2, 0.2) if name.endswith("bias") else parameter.uniform_(0.5, 1.5)
    return made


def raw_siglip(settings, tower):
    """transformers' model with its pooling head, and the tower's weights."""
    siglip = settings.siglip
    config = SiglipVisionConfig(
        hidden_size=siglip.hidden_size, intermediate_size=siglip.intermediate_size,
        num_hidden_layers=siglip.num_layers, num_attention_heads=siglip.num_heads, patch_size=siglip.patch_size,
        image_size=settings.tiling.tile_size,
    )  # fmt: skip
    raw = SiglipVisionModel(config).eval()
    missing, unexpected = raw.load_state_dict(tower.vision_model.state_dict(), strict=False)
    assert unexpected == []
    assert all(name.startswith("head.") for name in missing)
    return raw


def raw_convnext(settings, tower, **options):
    """timm's convnext_xxlarge at a small width (its own eps), and the tower's weights."""
    convnext = settings.convnext
    raw = timm.create_model(
        "convnext_xxlarge", depths=convnext.depths, dims=convnext.dims, num_classes=0, **options
    ).eval()
    state = tower.trunk.state_dict()
    if options.get("features_only"):
        state = {name.replace("stem.", "stem_").replace("stages.", "stages_"): value for name, value in state.items()}
    missing, unexpected = raw.load_state_dict(state, strict=False)
    assert unexpected == []
    assert all(name.startswith("head.") for name in missing)
    return raw


@torch.no_grad()
def test_siglip_gives_transformers_last_hidden_state(tiny_settings, mixture, tiles, siglip_pixels):
    raw = raw_siglip(tiny_settings, mixture.siglip)
    result = raw(siglip_pixels, output_hidden_states=True)
    ours = mixture.siglip(tiles)
    assert ours.shape == (2, 8, 8, 16)
    assert (ours.flatten(1, 2) - result.last_hidden_state).abs().max() < 1e-5
    normed = raw.post_layernorm(result.hidden_states[-1])
    assert (ours.flatten(1, 2) - normed).abs().max() < 1e-5
    assert (normed - result.hidden_states[-1]).abs().max() > 0.1


@torch.no_grad()
def test_convnext_gives_timms_last_stage_without_a_norm(tiny_settings, mixture, tiles, clip_pixels):
    raw = raw_convnext(tiny_settings, mixture.convnext)
    ours = mixture.convnext(tiles).permute(0, 3, 1, 2)
    assert ours.shape == (2, 24, 4, 4)
    assert (ours - raw.forward_features(clip_pixels)).abs().max() < 1e-5
    assert (ours - raw.forward_intermediates(clip_pixels, intermediates_only=True)[-1]).abs().max() < 1e-5
    pyramid = raw_convnext(tiny_settings, mixture.convnext, features_only=True)
    assert (ours - pyramid(clip_pixels)[-1]).abs().max() < 1e-5
    assert (ours - raw.head.norm(ours)).abs().max() > 0.1


@torch.no_grad()
def test_the_mixture_is_shuffled_siglip_then_convnext(tiny_settings, mixture, tiles, siglip_pixels, clip_pixels):
    siglip = raw_siglip(tiny_settings, mixture.siglip)(siglip_pixels).last_hidden_state.unflatten(1, (8, 8))
    convnext = raw_convnext(tiny_settings, mixture.convnext).forward_features(clip_pixels).permute(0, 2, 3, 1)
    features = mixture(tiles)
    assert features.shape == (2, 16, 4 * 16 + 24)
    assert (features[..., :64] - pixel_shuffle(siglip).flatten(1, 2)).abs().max() < 1e-5
    assert (features[..., 64:] - convnext.flatten(1, 2)).abs().max() < 1e-5


def test_a_token_sees_its_own_place_in_both_towers(mixture, tiles):
    """Row and column of the grids agree: a change at one corner moves that corner's token most, in each tower."""
    changed = tiles.clone()
    changed[:, :16, 48:] = 255 - changed[:, :16, 48:]  # the upper right cell of the 4 x 4 grid, index 3
    with torch.no_grad():
        moved = (mixture(tiles) - mixture(changed)).abs()
    assert set(moved[..., :64].sum(-1).argmax(-1).tolist()) == {3}
    assert set(moved[..., 64:].sum(-1).argmax(-1).tolist()) == {3}


def test_gradients_reach_every_weight_of_both_towers(mixture, tiles):
    mixture.train()(tiles).square().mean().backward()
    for name, parameter in mixture.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.ndim < 2 or parameter.grad.any(), name
