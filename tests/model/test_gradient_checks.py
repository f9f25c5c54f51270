"""The gradients' checks in a few kernels decide what DeepSpeed's own would."""

import math

import pytest
import torch

from model.inputs.merge import merge
from model.loss import token_weights
from model.recipe import StageSettings
from model.training.engine import TrainingEngine
from model.training.freezing import freeze
from model.training.gradient_checks import bind_weights_once, fuse_gradient_checks
from model.vlm import PackTensors, build_model


def run(tiny_settings, encoded, device, zero, *, fused):
    """Norms of three steps, the second with a loss that isn't finite, and the weights after them."""
    settings = StageSettings(learning_rate=3e-3, precision="bf16", zero_stage=zero, grad_clip=0.5)
    model = build_model(tiny_settings, 96, 90, seed=3)
    freeze(model, settings.trainable)
    engine = TrainingEngine(model, settings, device)
    if fused:
        fuse_gradient_checks(engine._engine.optimizer)
        bind_weights_once(engine._engine.optimizer)
    batch = merge([encoded(30, 1, seed=1), encoded(12, 0, seed=2)])
    weights, share = token_weights(batch.labels, batch.cu_seqlens, "sqrt")
    norms = []
    for spoilt in (1.0, math.inf, 1.0):
        engine.gradients(PackTensors.of(batch), torch.from_numpy(weights) * spoilt, share, last=True)
        norms.append(engine.step(3e-3))
    return norms, {name: value.clone() for name, value in engine.weights().items()}


@pytest.mark.parametrize("zero", [1, 2])
def test_norms_and_skipped_steps_are_deepspeeds(tiny_settings, encoded, alone, zero):
    (expected, before), (norms, after) = (
        run(tiny_settings, encoded, alone, zero, fused=fused) for fused in (False, True)
    )
    assert [math.isfinite(norm) for norm in norms] == [True, False, True] == [math.isfinite(n) for n in expected]
    assert norms[::2] == pytest.approx(expected[::2], rel=1e-5)
    for name, value in before.items():
        assert torch.allclose(after[name].float(), value.float(), atol=1e-2), (
            name
        )  # bf16: a last bit may fall elsewhere
    assert expected[0] > 0.5, "the clipping has something to scale"


@pytest.mark.parametrize("zero", [1, 2])
def test_parameters_stay_where_their_optimizer_writes(tiny_settings, encoded, alone, zero):
    """What the network computes with is what the step wrote, though nothing was bound again."""
    settings = StageSettings(learning_rate=3e-3, precision="bf16", zero_stage=zero)
    model = build_model(tiny_settings, 96, 90, seed=3)
    freeze(model, settings.trainable)
    engine = TrainingEngine(model, settings, alone)
    bind_weights_once(engine._engine.optimizer)
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
