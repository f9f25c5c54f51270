from dataclasses import replace

import numpy as np
import pytest
import torch

from model.inputs.merge import merge
from model.loss import token_weights
from model.vlm import PackTensors, build_model


def loss_of(model, samples, reduction="sqrt"):
    """(numerator, denominator) of one pack."""
    batch = merge(samples)
    weights, denominator = token_weights(batch.labels, batch.cu_seqlens, reduction)
    return model(PackTensors.of(batch), torch.from_numpy(weights))[0], denominator


@pytest.mark.parametrize("reduction", ["sqrt", "token", "sample"])
def test_packed_loss_and_gradients_equal_unpacked(tiny_model, encoded, reduction):
    samples = [encoded(20, 1, 1), encoded(31, 0, 2), encoded(9, 3, 3), encoded(14, 1, 4)]
    packed, denominator = loss_of(tiny_model, samples, reduction)
    (packed / denominator).backward()
    together = {name: p.grad.clone() for name, p in tiny_model.named_parameters()}
    tiny_model.zero_grad()
    parts = [loss_of(tiny_model, [sample], reduction) for sample in samples]
    alone = sum(part for part, _ in parts) / sum(share for _, share in parts)
    alone.backward()
    assert abs(packed.item() / denominator - alone.item()) < 1e-5
    for name, parameter in tiny_model.named_parameters():
        assert torch.allclose(together[name], parameter.grad, atol=1e-5), name


def test_packed_logits_equal_unpacked(tiny_model, encoded):
    samples = [encoded(20, 1, 1), encoded(31, 0, 2), encoded(9, 3, 3), encoded(14, 1, 4)]
    with torch.no_grad():
        packed = tiny_model.language.lm_head(tiny_model.hidden_states(PackTensors.of(merge(samples))))
        alone = [tiny_model.language.lm_head(tiny_model.hidden_states(PackTensors.of(merge([s])))) for s in samples]
    assert torch.allclose(packed, torch.cat(alone), atol=1e-5)


def test_a_sample_does_not_see_its_neighbours(tiny_model, encoded):
    first, second, other = encoded(20, 1, 1), encoded(20, 1, 2), encoded(20, 1, 5)
    length = len(first.input_ids)
    with torch.no_grad():
        one = tiny_model.hidden_states(PackTensors.of(merge([first, second])))
        two = tiny_model.hidden_states(PackTensors.of(merge([other, second])))
    assert torch.allclose(one[length:], two[length:], atol=1e-5)
    assert not torch.allclose(one[:length], two[:length], atol=1e-2)


def test_the_loss_is_the_textbook_one_for_one_sample(tiny_model, encoded):
    sample = encoded(18, 1, 7)
    total, count = loss_of(tiny_model, [sample], "token")
    embedded = tiny_model.embed(torch.from_numpy(sample.input_ids), torch.from_numpy(sample.tiles))
    tiny_model.language.set_attn_implementation("sdpa")
    labels = torch.from_numpy(sample.labels)[None]
    expected = tiny_model.language(inputs_embeds=embedded[None], labels=labels).loss
    assert total.item() / count == pytest.approx(expected.item(), abs=1e-5)


def test_a_text_only_pack_gives_every_parameter_a_gradient(tiny_model, encoded):
    total, _ = loss_of(tiny_model, [encoded(20, 0, 1)])
    total.backward()
    assert [name for name, p in tiny_model.named_parameters() if p.grad is None] == []
    assert all(not p.grad.any() for p in tiny_model.vision.parameters())


@pytest.mark.parametrize("broken", [float("inf"), float("nan")])
def test_an_overflow_in_the_dummy_tile_reaches_neither_loss_nor_gradients(tiny_model, encoded, broken):
    expected, _ = loss_of(tiny_model, [encoded(20, 0, 1)])
    with torch.no_grad():
        tiny_model.connector[3].bias[0] = broken
    total, _ = loss_of(tiny_model, [encoded(20, 0, 1)])
    total.backward()
    assert total.item() == expected.item()
    for name, parameter in tiny_model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert name.startswith("language") or not parameter.grad.any(), name


@pytest.mark.parametrize(("tokens_for", "tiles"), [(1, 0), (2, 1), (0, 1)])
def test_image_tokens_without_their_features_are_an_error(tiny_model, encoded, tokens_for, tiles):
    sample, other = encoded(20, tokens_for, 1), encoded(20, tiles, 2)
    with pytest.raises(ValueError, match=f"{16 * tokens_for} image tokens in the text, {16 * tiles} image features"):
        tiny_model.embed(torch.from_numpy(sample.input_ids), torch.from_numpy(other.tiles))


def test_the_seed_decides_the_weights_and_nothing_else_is_touched(tiny_settings):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two, other = (build_model(tiny_settings, 96, 90, seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name]), name
    assert not torch.equal(one.connector[1].weight, other.connector[1].weight)


def test_pixels_reach_the_loss(tiny_model, encoded):
    sample = encoded(18, 1, 7)
    batch = merge([sample])
    tensors = PackTensors.of(batch)
    blank = replace(tensors, tiles=torch.full_like(tensors.tiles, 128))
    weights, _ = token_weights(batch.labels, batch.cu_seqlens, "sqrt")
    with torch.no_grad():
        seen, unseen = (tiny_model(pack, torch.from_numpy(weights))[0].item() for pack in (tensors, blank))
    assert np.isfinite(seen)
    assert abs(seen - unseen) > 1e-4
