"""A step whose loss or gradient isn't finite leaves no trace in the network, at every ZeRO stage; a row of them ends."""

import json
import math

import pytest
import torch

from data.errors import AerieError
from model.inputs.merge import merge
from model.loss import token_weights
from model.pack_tensors import PackTensors
from model.recipe import StageSettings
from model.training.engine import TrainingEngine
from model.training.freezing import freeze
from model.training.metrics import SkippedStep, StepMetrics, read_steps
from model.training.skipping import SkipLimit
from model.vlm import build_model


@pytest.fixture
def packs(encoded):
    """Six packs, two a step; some have text only."""
    made = []
    for number in range(6):
        batch = merge([encoded(24, number % 3, seed=number), encoded(12, number % 2, seed=50 + number)])
        weights, share = token_weights(batch.labels, batch.cu_seqlens, "sqrt")
        made.append((PackTensors.of(batch), torch.from_numpy(weights), share))
    return made


def infinite_loss(model):
    """Adds infinity to the next losses: the gradients alone stay what they were."""
    return model.register_forward_hook(lambda _, __, out: (out[0] + math.inf, out[1]))


def nan_gradient(model):
    """The next losses are as ever, and NaN flows back through the connector."""

    def spoil(_, __, out):
        out.register_hook(lambda gradient: gradient * math.nan)

    return model.connector.register_forward_hook(spoil)


def trained(tiny_settings, settings, packs, device, spoil=None):
    """The weights after two steps, and the norms; with `spoil` a step on other packs goes wrong between them."""
    model = build_model(tiny_settings, 96, 90, seed=3)
    freeze(model, settings.trainable)
    engine, norms = TrainingEngine(model, settings, device), []
    for first, bad in ((0, False), (2, True), (4, False)):
        if bad and spoil is None:
            continue
        total = sum(share for *_, share in packs[first : first + 2])
        for number, (pack, weights, _) in enumerate(packs[first : first + 2]):
            handle = spoil(model) if bad and number == 0 else None
            engine.gradients(pack, weights, total, last=number == 1)
            if handle is not None:
                handle.remove()
        norms.append(engine.step(settings.learning_rate))
    return engine.weights(), norms


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_a_spoilt_step_changes_neither_weights_nor_moments_nor_the_next_step(
    tiny_settings, packs, alone, zero, precision
):
    settings = StageSettings(learning_rate=3e-3, packs_per_step=2, precision=precision, zero_stage=zero)
    expected, (first, last) = trained(tiny_settings, settings, packs, alone)
    for spoil in (infinite_loss, nan_gradient):
        weights, norms = trained(tiny_settings, settings, packs, alone, spoil)
        assert not math.isfinite(norms.pop(1))
        assert norms == [first, last]
        assert all(torch.equal(value, expected[name]) for name, value in weights.items()), spoil.__name__


def skipped(pack: int) -> SkippedStep:
    return SkippedStep(what="loss", value="nan", packs=(pack,), sample_ids=tuple(f"s{pack}-{n}" for n in range(7)))


def test_a_row_of_skipped_steps_ends_the_stage_and_names_the_packs():
    limit = SkipLimit(3, "OUT/checkpoints")
    assert limit.take(1, skipped(4)).startswith(
        "step 1 is skipped, weights and moments stay: the loss of pack 4 is nan"
    )
    assert "(samples s5-0, s5-1, s5-2, s5-3, s5-4 and 2 more); 2 in a row, 3 end the stage" in limit.take(2, skipped(5))
    assert limit.take(3, None) == ""
    assert "1 in a row" in limit.take(4, skipped(6))
    limit.take(5, skipped(7))
    with pytest.raises(
        AerieError, match=r"3 steps in a row were skipped.*packs concerned: 6, 7, 8\. .*OUT/checkpoints"
    ):
        limit.take(6, skipped(8))


def test_a_skipped_steps_record_survives_the_file():
    metrics = StepMetrics(
        step=3, loss=None, learning_rate=1e-3, tokens=10, samples=2, grad_norm=None, seconds=0.5, packs=(4, 5),
        skipped=skipped(4), skipped_steps=1,
    )  # fmt: skip
    line = metrics.to_json()
    assert "NaN" not in line
    assert json.loads(line)["tokens_per_second"] == 20
    assert read_steps(line.encode()) == [metrics]
    assert "seconds" not in metrics.to_json(times=False)
