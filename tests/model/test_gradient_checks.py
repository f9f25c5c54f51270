"""What replaces DeepSpeed's small calls in a step decides and computes what DeepSpeed's own would."""

import math

import pytest
import torch

from model.inputs.merge import merge
from model.loss import token_weights
from model.recipe import StageSettings
from model.training import engine as engines
from model.training import flat_gradients
from model.training.engine import TrainingEngine
from model.training.freezing import freeze
from model.vlm import PackTensors, build_model

OURS = ("keep_gradients_flat", "fuse_gradient_checks", "bind_weights_once")


def trained(tiny_settings, encoded, device, **changes):
    """Norms of three steps of one or two packs, the second with a loss that isn't finite, and the weights after."""
    settings = StageSettings(**{"learning_rate": 3e-3, "precision": "bf16", "grad_clip": 0.5, **changes})
    model = build_model(tiny_settings, 96, 90, seed=3)
    freeze(model, settings.trainable)
    engine = TrainingEngine(model, settings, device)
    batch = merge([encoded(30, 1, seed=1), encoded(12, 0, seed=2)])
    weights, share = token_weights(batch.labels, batch.cu_seqlens, "sqrt")
    norms = []
    for spoilt in (1.0, math.inf, 1.0):
        for number in reversed(range(settings.packs_per_step)):
            scaled = torch.from_numpy(weights) * spoilt
            engine.gradients(PackTensors.of(batch), scaled, share * settings.packs_per_step, last=number == 0)
        norms.append(engine.step(3e-3))
    return norms, {name: value.clone() for name, value in engine.weights().items()}


@pytest.mark.parametrize("trainable", [("connector",), ("connector", "vision", "language")], ids=["connector", "all"])
@pytest.mark.parametrize("packs", [1, 2])
@pytest.mark.parametrize("zero", [1, 2])
def test_norms_clipping_and_skipped_steps_are_deepspeeds(
    tiny_settings, encoded, alone, monkeypatch, zero, packs, trainable
):
    how = {"zero_stage": zero, "packs_per_step": packs, "trainable": trainable, "grad_clip": 0.01}
    norms, after = trained(tiny_settings, encoded, alone, **how)
    for name in OURS:
        monkeypatch.setattr(engines, name, lambda optimizer: None)
    expected, before = trained(tiny_settings, encoded, alone, **how)
    assert [math.isfinite(norm) for norm in norms] == [True, False, True] == [math.isfinite(n) for n in expected]
    assert norms[::2] == pytest.approx(expected[::2], rel=1e-3)
    for name, value in before.items():
        # bf16: a last bit may fall elsewhere
        assert torch.allclose(after[name].float(), value.float(), atol=1e-2), name
    assert min(expected[::2]) > 0.01, "the clipping has something to scale"


@pytest.mark.parametrize("together", [1, 5000, flat_gradients.TOGETHER], ids=["each", "some", "all"])
@pytest.mark.parametrize("zero", [1, 2])
def test_in_float32_the_weights_are_deepspeeds(tiny_settings, encoded, alone, monkeypatch, zero, together):
    monkeypatch.setattr(flat_gradients, "TOGETHER", together)
    how = {"zero_stage": zero, "precision": "fp32", "grad_clip": 0.01}
    norms, after = trained(tiny_settings, encoded, alone, **how)
    for name in OURS:
        monkeypatch.setattr(engines, name, lambda optimizer: None)
    expected, before = trained(tiny_settings, encoded, alone, **how)
    assert norms[::2] == pytest.approx(expected[::2], rel=1e-6)
    for name, value in before.items():
        # Adam makes steps of 3e-3 of any gradient, also of the keys' biases', which are noise about zero
        assert torch.allclose(after[name], value, rtol=0, atol=2e-5), name


@pytest.mark.parametrize("zero", [1, 2])
def test_parameters_stay_where_their_optimizer_writes(tiny_settings, encoded, alone, zero):
    """What the network computes with is what the step wrote, though nothing was bound again."""
    settings = StageSettings(learning_rate=3e-3, precision="bf16", zero_stage=zero)
    model = build_model(tiny_settings, 96, 90, seed=3)
    freeze(model, settings.trainable)
    engine = TrainingEngine(model, settings, alone)
    batch = merge([encoded(30, 1, seed=1)])
    weights, share = token_weights(batch.labels, batch.cu_seqlens, "sqrt")
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for _ in range(2):
        engine.gradients(PackTensors.of(batch), torch.from_numpy(weights), share, last=True)
        engine.step(3e-3)
    after = list(model.parameters())
    assert sum(not torch.equal(old, new) for old, new in zip(before, after, strict=True)) > len(after) / 2
    for held in engine.state.held():
        part = (
            dict(model.named_parameters())[held.name].detach().flatten()[held.start : held.start + held.master.numel()]
        )
        assert torch.equal(part, held.master.bfloat16())


def test_a_parameter_that_nothing_reached_has_a_gradient_of_zero(tiny_settings, encoded, alone):
    """Text alone: the towers see a dummy tile that the loss ignores, and weight decay is all that moves them."""
    settings = StageSettings(learning_rate=3e-3, precision="fp32", zero_stage=2, weight_decay=0.0)
    model = build_model(tiny_settings, 96, 90, seed=3)
    freeze(model, settings.trainable)
    engine = TrainingEngine(model, settings, alone)
    batch = merge([encoded(30, 0, seed=1)])
    weights, share = token_weights(batch.labels, batch.cu_seqlens, "sqrt")
    before = {name: value.clone() for name, value in model.vision.state_dict().items()}
    engine.gradients(PackTensors.of(batch), torch.from_numpy(weights), share, last=True)
    assert math.isfinite(engine.step(3e-3))
    assert all(torch.equal(value, before[name]) for name, value in model.vision.state_dict().items())
