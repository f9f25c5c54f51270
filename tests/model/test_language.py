"""The language model's positions keep their precision whatever the network's."""

import pytest
import torch

from model.config import LanguageSettings
from model.language import build_language

SETTINGS = LanguageSettings(hidden_size=32, intermediate_size=64, num_layers=2, num_heads=4, num_kv_heads=2)


def rotation(language, dtype):
    positions = torch.tensor([[0, 1, 4095, 16_383]])
    return language.model.rotary_emb(torch.zeros(1, dtype=dtype), positions)


@pytest.mark.parametrize("cast", [lambda m: m.to(torch.bfloat16), lambda m: m.bfloat16(), lambda m: m.half().float()])
def test_frequencies_stay_exact_when_the_network_is_cast(cast):
    exact, language = build_language(SETTINGS, 50), build_language(SETTINGS, 50)
    cast(language)
    assert {buffer.dtype for buffer in language.model.rotary_emb.buffers()} == {torch.float32}
    for found, expected in zip(rotation(language, torch.float32), rotation(exact, torch.float32), strict=True):
        assert torch.equal(found, expected)
    assert language.model.layers[0].mlp.up_proj.weight.dtype != torch.float32 or language.dtype == torch.float32


def test_frequencies_follow_the_device_and_add_no_key():
    language = build_language(SETTINGS, 50)
    assert language.to("meta").model.rotary_emb.inv_freq.device.type == "meta"
    assert not [key for key in build_language(SETTINGS, 50).state_dict() if "rotary" in key]


def test_a_cast_network_gives_what_a_loaded_one_gives(tmp_path):
    language = build_language(SETTINGS, 50).eval()
    language.bfloat16()
    language.save_pretrained(tmp_path)
    loaded = type(language).from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    ids = torch.arange(40)[None]
    positions = torch.arange(16_000, 16_040)[None]
    with torch.inference_mode():
        assert torch.equal(
            language(input_ids=ids, position_ids=positions).logits, loaded(input_ids=ids, position_ids=positions).logits
        )
