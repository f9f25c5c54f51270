"""The presets against the modules that the published configs build, all on the meta device."""

from pathlib import Path
from typing import get_args

import pytest
import timm
import torch
import yaml
from transformers import Qwen2Config, Qwen2ForCausalLM, SiglipVisionConfig, SiglipVisionModel

from data.errors import AerieError
from data.settings.base import validated
from model.config import ModelSettings, Preset
from model.costs.cost import count_pieces, meta_network
from model.presets import PRESETS, preset
from model.recipe import load_recipe

RECIPES = Path(__file__).resolve().parents[2] / "pipelines/recipes"
EAGLES = [name for name in PRESETS if name.startswith("eagle2")]
MIXTURES = ["eagle2-9b", "eagle2-32b"]

# config.json of Qwen/Qwen2.5-{0.5B,1.5B,7B,32B}-Instruct; the keys that all four share stand below.
QWEN = {
    "eagle2-1b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
                  "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True},
    "eagle2-2b": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
                  "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True},
    "eagle2-9b": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
                  "num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False},
    "eagle2-32b": {"hidden_size": 5120, "intermediate_size": 27648, "num_hidden_layers": 64, "num_attention_heads": 40,
                   "num_key_value_heads": 8, "vocab_size": 152064, "tie_word_embeddings": False},
}  # fmt: skip
QWEN_SHARED = {
    "hidden_act": "silu", "rms_norm_eps": 1e-6, "max_position_embeddings": 32768, "attention_dropout": 0.0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
}  # fmt: skip
# Parameters of the published Qwen2.5 checkpoints.
KNOWN = {
    "eagle2-1b": 494_032_768,
    "eagle2-2b": 1_543_714_304,
    "eagle2-9b": 7_615_616_512,
    "eagle2-32b": 32_763_876_352,
}
SIGLIP = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
          "patch_size": 14, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}  # fmt: skip


@pytest.fixture(scope="module")
def networks():
    """Every preset's empty network."""
    return {name: meta_network(preset(name)) for name in PRESETS}


def shapes(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def without(prefix, names):
    return {name: shape for name, shape in names.items() if not name.startswith(prefix)}


@pytest.mark.parametrize("name", EAGLES)
def test_the_language_model_is_the_published_qwen(networks, name):
    config = Qwen2Config(**QWEN[name], **QWEN_SHARED)
    with torch.device("meta"):
        published = Qwen2ForCausalLM(config)
    ours = networks[name].language
    assert shapes(ours) == shapes(published)
    assert networks[name].parameter_counts()["language"] == published.num_parameters() == KNOWN[name]
    read = ("rms_norm_eps", "rope_parameters", "max_position_embeddings", "hidden_act", "tie_word_embeddings",
            "attention_dropout", "head_dim", "sliding_window", "layer_types")  # fmt: skip
    assert {key: getattr(ours.config, key, None) for key in read} == {key: getattr(config, key, None) for key in read}


@pytest.mark.parametrize("name", EAGLES)
def test_the_first_tower_is_siglip_without_its_head_at_448(networks, name):
    with torch.device("meta"):
        wide = SiglipVisionModel(SiglipVisionConfig(**SIGLIP, image_size=448))
        trained = SiglipVisionModel(SiglipVisionConfig(**SIGLIP, image_size=384))
    ours = networks[name].vision.siglip.vision_model
    assert shapes(ours) == without("head.", shapes(wide))
    resized = {key for key, shape in shapes(ours).items() if shapes(trained)[key] != shape}
    assert resized == {"embeddings.position_embedding.weight"}
    assert shapes(ours)["embeddings.position_embedding.weight"] == (1024, 1152)
    assert {ours.config.layer_norm_eps, ours.post_layernorm.eps} == {1e-6}
    assert (ours.config.hidden_act, ours.config.attention_dropout) == ("gelu_pytorch_tanh", 0.0)


@pytest.mark.parametrize("name", MIXTURES)
def test_the_second_tower_is_timms_xxlarge_without_its_head(networks, name):
    with torch.device("meta"):
        published = timm.create_model("convnext_xxlarge", num_classes=0)
        classifier = timm.create_model("convnext_xxlarge")
    ours = networks[name].vision.convnext.trunk
    assert shapes(ours) == without("head.", shapes(published))
    head = sum(parameter.numel() for parameter in classifier.head.parameters())
    assert sum(p.numel() for p in classifier.parameters()) - head == count_pieces(networks[name])["vision"]["convnext"]
    norms = [module.eps for module in published.modules() if isinstance(module, torch.nn.LayerNorm)]
    assert {module.eps for module in ours.modules() if isinstance(module, torch.nn.LayerNorm)} == set(norms) == {1e-5}


@pytest.mark.parametrize("name", ["eagle2-1b", "eagle2-2b", "tiny"])
def test_pieces_add_up_to_their_part_and_parts_to_the_network(networks, name):
    network = networks[name]
    counts = network.parameter_counts()
    assert {part: sum(inside.values()) for part, inside in count_pieces(network).items()} == {
        part: counts[part] for part in ("vision", "language")
    }
    assert sum(counts.values()) == sum(parameter.numel() for parameter in network.parameters())
    assert ("convnext" in count_pieces(network)["vision"]) == (name == "tiny")


@pytest.mark.parametrize("name", EAGLES)
def test_the_connector_has_the_references_shape(networks, name):
    width = 4 * 1152 + (3072 if name in MIXTURES else 0)
    hidden = QWEN[name]["hidden_size"]
    assert shapes(networks[name].connector) == {
        "0.weight": (width,), "0.bias": (width,), "1.weight": (hidden, width), "1.bias": (hidden,),
        "3.weight": (hidden, hidden), "3.bias": (hidden,),
    }  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_shapes_from_tiles_to_hidden_states(networks, name):
    network, settings = networks[name], preset(name)
    side, width = settings.tiling.tile_size, settings.language.hidden_size
    tokens = 16 if name == "tiny" else 256
    assert (settings.tokens_per_tile, settings.grid**2) == (tokens, tokens)
    tiles = torch.empty(2, side, side, 3, dtype=torch.uint8, device="meta")
    images = network.encode_tiles(tiles)
    assert (images.shape, images.dtype) == ((2, tokens, width), torch.float32)
    text = network.language.get_input_embeddings()(torch.empty(1, 40, dtype=torch.long, device="meta"))
    embeddings = torch.cat([text, images.flatten(0, 1)[None]], dim=1)
    causal = {
        "full_attention": None
    }  # given, so that transformers reads no values to find out whether samples are packed
    hidden = network.language.model(inputs_embeds=embeddings, attention_mask=causal, use_cache=False).last_hidden_state
    assert hidden.shape == (1, 40 + 2 * tokens, width)
    assert network.language.lm_head(hidden).shape == (1, 40 + 2 * tokens, network.vocab_size)


@pytest.mark.parametrize(("tokens", "rows"), [(151_676, 151_936), (151_937, 151_937)])
def test_the_embedding_has_the_published_rows_or_more_for_a_larger_tokenizer(tokens, rows):
    assert preset("eagle2-1b").language.rows(tokens) == rows


def test_a_recipes_keys_lie_over_the_preset():
    whole = preset("eagle2-9b")
    document = {
        "preset": "eagle2-9b",
        "tiling": {"max_tiles": 6},
        "language": {"num_layers": 2},
        "tokenizer": {"path": "tokenizer.json"},
    }
    settings = ModelSettings.model_validate(document)
    assert (settings.tiling.max_tiles, settings.tiling.tile_size) == (6, 448)
    assert settings.language == whole.language.model_copy(update={"num_layers": 2})
    assert (settings.siglip, settings.convnext) == (whole.siglip, whole.convnext)
    assert settings.tokenizer.path == "tokenizer.json"
    assert ModelSettings.model_validate({"preset": "eagle2-9b", "convnext": None}).convnext is None
    assert preset("eagle2-9b") == whole


@pytest.mark.parametrize("name", PRESETS)
def test_settings_survive_a_checkpoints_config(name):
    settings = preset(name)
    assert ModelSettings.model_validate_json(settings.model_dump_json()) == settings
    assert settings.preset == name


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"preset": "eagle2-8b"}, r"preset: .*'eagle2-9b'"),
        ({"preset": ["tiny"]}, "preset: "),
        ({"preset": "tiny", "langauge": {}}, r"langauge: .*unknown key"),
        ({"preset": "eagle2-9b", "language": {"layers": 3}}, r"language\.layers: .*unknown key"),
        ({"preset": "eagle2-9b", "language": {"num_layers": 0}}, r"language\.num_layers: "),
        ({"preset": "eagle2-9b", "siglip": 5}, "siglip: "),
        ({"preset": "eagle2-9b", "tiling": {"tile_size": 224}}, r"convnext\.image_size must be 256"),
        ({"preset": "eagle2-1b", "language": {"hidden_act": "swish"}}, r"language\.hidden_act: "),
    ],
)
def test_a_mistake_beside_a_preset_names_its_key(model, message):
    with pytest.raises(AerieError, match=message):
        validated(ModelSettings, model, "recipe.yaml")


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(AerieError, match=r"choose from eagle2-1b, .*tiny"):
        preset("eagle3")


def test_every_preset_can_be_named_in_a_recipe(tmp_path):
    assert get_args(Preset) == PRESETS
    document = yaml.safe_load((RECIPES / "mini.yaml").read_text())
    for name in PRESETS:
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**document, "model": {"preset": name}}, sort_keys=False))
        assert load_recipe(str(path)).model == preset(name)


def test_the_default_recipe_is_the_tiny_preset():
    assert load_recipe(str(RECIPES / "tiny.yaml")).model == preset("tiny")
