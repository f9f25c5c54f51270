import torch

from model.initialise import EMBEDDING_STD
from model.vlm import build_model


def test_fan_in_keeps_signals_at_their_size(tiny_settings):
    model = build_model(tiny_settings, 2000, 90, 0)
    linear = model.connector[1]
    assert abs(linear.weight.std().item() * linear.in_features**0.5 - 1) < 0.15
    assert abs(model.language.model.embed_tokens.weight.std().item() - EMBEDDING_STD) < 0.01
    scales = [value for name, value in model.named_parameters() if name.endswith("gamma")]
    assert scales
    assert all(torch.equal(scale, torch.ones_like(scale)) for scale in scales)


def test_published_keeps_the_libraries_rules(tiny_settings):
    model = build_model(tiny_settings.model_copy(update={"initialisation": "published"}), 2000, 90, 0)
    scales = [value for name, value in model.named_parameters() if name.endswith("gamma")]
    assert all(torch.all(scale == 1e-6) for scale in scales)
