import pytest

from model.training.cost import meta_network, state_bytes
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
