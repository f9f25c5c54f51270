"""Recomputed activations change memory only: losses, gradients and every ZeRO stage stay as they are."""

import pytest
import torch

from model.inputs.merge import merge
from model.loss import token_weights
from model.recipe import StageSettings
from model.training.activations import checkpoint_activations
from model.training.engine import TrainingEngine
from model.training.freezing import freeze
from model.vlm import PackTensors, build_model

ALL = ("connector", "vision", "language")


@pytest.fixture
def pack(encoded):
    """(tensors, weights) of one pack with images and text."""
    batch = merge([encoded(30, 2, seed=1), encoded(12, 0, seed=2)])
    weights, _ = token_weights(batch.labels, batch.cu_seqlens, "sqrt")
    return PackTensors.of(batch), torch.from_numpy(weights)


def layers(model):
    """The modules that are entered again when they are recomputed: one of each network."""
    convnext = model.vision.convnext.trunk.stages[0].blocks[0].mlp
    return [model.vision.siglip.vision_model.encoder.layers[0].mlp, convnext, model.language.model.layers[0].mlp]


def backward(model, pack):
    """Gradients by name, and how often each of `layers` ran."""
    runs = [0, 0, 0]

    def count(number):
        def hook(*_):
            runs[number] += 1

        return hook

    handles = [layer.register_forward_pre_hook(count(number)) for number, layer in enumerate(layers(model))]
    loss, _ = model(*pack)
    loss.backward()
    for handle in handles:
        handle.remove()
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    return loss.item(), gradients, runs


@pytest.mark.parametrize("trainable", [("connector",), ALL], ids=["connector", "all"])
def test_loss_and_gradients_are_equal_and_layers_run_twice(tiny_settings, pack, trainable):
    results = []
    for recompute in (False, True):
        model = build_model(tiny_settings, 96, 90, seed=3)
        freeze(model, trainable)
        if recompute:
            checkpoint_activations(model, {"siglip": 1, "convnext": 1, "language": 1})
        results.append(backward(model, pack))
    (loss, expected, once), (again, gradients, runs) = results
    assert again == loss
    assert gradients.keys() == expected.keys()
    assert all(torch.equal(gradients[name], value) for name, value in expected.items())
    assert once == [1, 1, 1]
    assert runs == ([2, 2, 2] if trainable == ALL else [1, 1, 2]), "no gradient passes through a frozen tower"


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
@pytest.mark.parametrize("trainable", [("connector",), ALL], ids=["connector", "all"])
def test_deepspeed_trains_the_same_at_every_zero_stage(tiny_settings, pack, alone, zero, trainable):
    losses = []
    for recompute in (False, True):
        settings = StageSettings(
            learning_rate=3e-3, precision="fp32", zero_stage=zero, trainable=trainable,
            activation_checkpointing=recompute,
        )  # fmt: skip
        model = build_model(tiny_settings, 96, 90, seed=3)
        freeze(model, trainable)
        engine = TrainingEngine(model, settings, alone)
        for _ in range(2):
            loss = engine.gradients(*pack, 1.0, last=True)
            losses.append((float(loss), engine.step(settings.learning_rate)))
    assert torch.tensor(losses[:2]).allclose(torch.tensor(losses[2:]), rtol=1e-6)
    assert losses[0] != losses[1]
