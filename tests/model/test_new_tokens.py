"""New tokens start as the mean of the old ones, and can learn alone while every other row keeps its bits."""

import pytest
import torch

from model.inputs.merge import merge
from model.loss import token_weights
from model.new_tokens import initialise_new_rows_, token_tables
from model.recipe import StageSettings
from model.training.engine import TrainingEngine
from model.training.freezing import freeze
from model.vlm import PackTensors, build_model

NEW = (90, 92, 93)  # of 96 rows; 90 is the image token
STEPS = 3


def build(tiny_settings, tied: bool):
    language = tiny_settings.language.model_copy(update={"tie_embeddings": tied})
    return build_model(tiny_settings.model_copy(update={"language": language}), 96, 90, seed=3)


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_are_the_mean_of_the_old_in_both_tables(tiny_settings, tied):
    language = build(tiny_settings, tied).language
    before = [table.detach().clone() for table in token_tables(language)]
    initialise_new_rows_(language, NEW, tokens=94)  # rows 94 and 95 are padding
    assert len(before) == (1 if tied else 2)
    old = [row for row in range(94) if row not in NEW]
    for table, start in zip(token_tables(language), before, strict=True):
        mean = torch.stack([start[row].double() for row in old]).mean(0)
        assert all(torch.allclose(table[row].double(), mean, atol=1e-6) for row in NEW)
        rest = [*old, 94, 95]
        assert torch.equal(table[rest], start[rest])
    assert torch.equal(language.lm_head.weight[90], language.model.embed_tokens.weight[90]) == tied


@pytest.fixture
def batches(encoded):
    """Steps of one pack whose texts and answers hold new tokens."""
    packs = []
    for seed in range(STEPS):
        sample = encoded(30, 1, seed)
        sample.input_ids[[5 + 16, -4, -2]] = 92, 93, 92
        sample.labels[[-4, -2]] = 93, 92
        batch = merge([sample])
        packs.append((PackTensors.of(batch), *token_weights(batch.labels, batch.cu_seqlens, "sqrt")))
    return packs


def trained(tiny_settings, settings, batches, device, tied):
    """(weights before, weights after) some steps of the real engine."""
    model = build(tiny_settings, tied)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    freeze(model, settings.trainable, NEW if settings.only_new_tokens else ())
    engine = TrainingEngine(model, settings, device)
    for pack, weights, denominator in batches:
        engine.gradients(pack, torch.from_numpy(weights), denominator, last=True)
        engine.step(settings.learning_rate)
    return before, engine.weights()


def stage(**changes) -> StageSettings:
    base = {"trainable": ("connector",), "learning_rate": 1e-2, "weight_decay": 0.5, "precision": "fp32"}
    return StageSettings(**{**base, "train_new_tokens": True, **changes})


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_only_the_new_rows_learn(tiny_settings, batches, alone, zero, tied):
    before, after = trained(tiny_settings, stage(zero_stage=zero), batches, alone, tied)
    tables = ["language.model.embed_tokens.weight", "language.lm_head.weight"]
    rest = [row for row in range(96) if row not in NEW]
    for name, value in after.items():
        if name in tables:
            assert torch.equal(value[rest], before[name][rest]), name
            assert not torch.equal(value[92], before[name][92]), name
        elif not name.startswith("connector"):
            assert torch.equal(value, before[name]), name
    assert not torch.equal(after["connector.1.weight"], before["connector.1.weight"])
    if not tied:  # an image token's row is never read: a feature stands in its place
        assert torch.equal(after[tables[0]][90], before[tables[0]][90])
        assert not torch.equal(after[tables[1]][90], before[tables[1]][90])


def test_only_the_new_rows_learn_in_bf16(tiny_settings, batches, alone):
    before, after = trained(tiny_settings, stage(precision="bf16", zero_stage=1), batches, alone, True)
    name, rest = "language.model.embed_tokens.weight", [row for row in range(96) if row not in NEW]
    assert torch.equal(after[name][rest], before[name][rest].bfloat16())
    assert not torch.equal(after[name][92], before[name][92].bfloat16())


def test_the_papers_stage_trains_the_connector_only(tiny_settings, batches, alone):
    settings = stage(train_new_tokens=False)
    before, after = trained(tiny_settings, settings, batches, alone, True)
    assert not settings.only_new_tokens
    assert {name for name in after if not torch.equal(after[name], before[name])} == {
        name for name in before if name.startswith("connector")
    }


def test_a_stage_that_trains_the_language_model_trains_every_row(tiny_settings, batches, alone):
    settings = stage(trainable=("connector", "language"))
    before, after = trained(tiny_settings, settings, batches, alone, True)
    name = "language.model.embed_tokens.weight"
    assert (after[name] != before[name]).any(dim=1).all()
