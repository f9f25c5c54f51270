import pytest

from model.presets import preset
from model.recipe import Recipe
from model.training.cost import MIB, meta_network, plan, state_bytes
from model.vlm import build_model


def test_the_plan_counts_the_network_that_training_builds(tiny_settings):
    model = build_model(tiny_settings, tiny_settings.tokenizer.vocab_size, 0, seed=1)
    counts = meta_network(tiny_settings).parameter_counts()
    assert sum(counts.values()) == sum(parameter.numel() for parameter in model.parameters())
    assert counts["connector"] == sum(parameter.numel() for parameter in model.connector.parameters())


def test_mixed_precision_adamw_takes_sixteen_bytes_a_parameter():
    """2 weight + 2 gradient + 12 optimizer (Rajbhandari et al., 2020, section 3.1)."""
    assert state_bytes(1000, 0, "bf16", 0, 8) == 16_000
    assert state_bytes(1000, 0, "fp32", 0, 8) == 16_000
    assert state_bytes(0, 1000, "bf16", 2, 8) == 2_000


@pytest.mark.parametrize(("stage", "expected"), [(1, 4 + 12 / 64), (2, 2 + 14 / 64), (3, 16 / 64)])
def test_zero_shards_as_in_its_paper(stage, expected):
    """Figure 1 of the ZeRO paper: 7.5 billion parameters on 64 GPUs take 31.4, 16.6 and 1.9 GB."""
    assert state_bytes(1, 0, "bf16", stage, 64) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "tables"), [("eagle2-1b", 1), ("eagle2-9b", 2)])
def test_new_tokens_alone_learn_eleven_rows_but_hold_the_optimizer_of_whole_tables(name, tables):
    model = preset(name)
    stage = {"trainable": ["connector"], "learning_rate": 1e-4}
    stages = {"stage_1": stage | {"train_new_tokens": True}, "stage_1_5": stage, "stage_2": stage}
    document = {"name": "p", "seed": 1, "data": {"sources": [{"name": "easy-vqa"}]}, "model": model, "stages": stages}
    found = plan(Recipe.model_validate(document))
    width, rows, connector = model.language.hidden_size, model.language.embedding_rows, found.parameters["connector"]
    assert found.stages["stage_1"].trains == "connector, new tokens"
    assert found.stages["stage_1"].trainable == f"{connector + tables * 11 * width:,}"
    frozen = found.total - connector - tables * rows * width
    state = state_bytes(connector + tables * rows * width, frozen, "bf16", 1, 1)
    assert found.stages["stage_1"].state_mib == f"{state / MIB:,.0f}"
    assert found.stages["stage_2"].trainable == f"{connector:,}"
