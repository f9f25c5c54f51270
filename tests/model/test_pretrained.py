"""A network starts from published parts: folders that transformers and timm write themselves, loaded strictly."""

import json

import pytest
import torch
import yaml
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from timm.models.convnext import ConvNeXt
from tokenizers import AddedToken, models, pre_tokenizers, trainers
from torch.nn import functional as F
from transformers import (
    Qwen2Config,
    Qwen2ForCausalLM,
    SiglipConfig,
    SiglipModel,
    SiglipTextConfig,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from data.errors import AerieError
from model.checkpoint import save_checkpoint
from model.config import ModelSettings, PretrainedSettings
from model.inputs.loader import PackLoader
from model.inputs.tokens import CHAT_TOKENS, ChatTokenizer, byte_level, with_special_tokens
from model.pretrained import load_pretrained, resized_positions
from model.recipe import load_recipe
from model.training.job import TrainingJob
from model.training.stage import initial_network
from model.vlm import build_model

SIGLIP = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 8}
PADDING = 20  # rows of the published table behind its tokens, as Qwen2.5's


@pytest.fixture(scope="module")
def base():
    """A tokenizer without Eagle's tokens, as Qwen2.5's is published."""
    tokenizer = byte_level(models.BPE())
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["which colour is it? red, green, blue"] * 9, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CHAT_TOKENS])
    return tokenizer


@pytest.fixture(scope="module")
def tokenizer(base):
    return ChatTokenizer(with_special_tokens(type(base).from_str(base.to_str())))


@pytest.fixture
def make(tiny_settings, tokenizer):
    """A maker of fresh networks for the tokenizer."""

    def build(tied=True, **changes):
        language = tiny_settings.language.model_copy(update={"tie_embeddings": tied})
        settings = tiny_settings.model_copy(update={"language": language, **changes})
        return build_model(settings, tokenizer.vocab_size, tokenizer.image_context_id, seed=3)

    return build


@pytest.fixture
def qwen(base, tmp_path):
    """A maker of Hugging Face folders of a Qwen2 with other weights: (folder, network)."""

    def write(tied=True, name="qwen", shard="1GB", **changes):
        torch.manual_seed(11)
        fields = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        fields |= {"num_key_value_heads": 2, "vocab_size": base.get_vocab_size() + PADDING, "tie_word_embeddings": tied}
        fields["rope_parameters"] = {"rope_type": "default", "rope_theta": 1_000_000.0}
        network = Qwen2ForCausalLM(Qwen2Config(**{**fields, **changes}))
        network.save_pretrained(tmp_path / name, max_shard_size=shard)
        base.save(str(tmp_path / name / "tokenizer.json"))
        return tmp_path / name, network

    return write


def load(model, tokenizer, folder, **parts):
    settings = PretrainedSettings(**{name: str(path) for name, path in parts.items()})
    return load_pretrained(model, settings, tokenizer, str(folder / "recipe.yaml"))


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("shard", ["1GB", "20KB"], ids=["one file", "shards"])
def test_language_computes_what_the_published_one_does(make, qwen, tokenizer, tmp_path, tied, shard):
    folder, published = qwen(tied, shard=shard)
    model = make(tied)
    [line] = load(model, tokenizer, tmp_path, language="qwen")
    assert f"language starts from {folder}: {len(published.state_dict()) - tied} tensors; 11 new tokens" in line
    old = tokenizer.vocab_size - 11
    ids = torch.arange(0, old, 7)[None]
    with torch.no_grad():
        ours, theirs = (network(ids).logits for network in (model.language.eval(), published.eval()))
    assert torch.equal(ours[..., :old], theirs[..., :old])
    for table in (model.language.lm_head.weight, model.language.model.embed_tokens.weight):
        assert torch.allclose(table[old:].double(), table[:old].double().mean(0).expand(11, -1), atol=1e-6)
    assert (model.language.lm_head.weight is model.language.model.embed_tokens.weight) == tied


@pytest.mark.parametrize("whole", [True, False], ids=["with text tower", "vision only"])
@pytest.mark.parametrize("pixels", [64, 48])
def test_siglip_computes_what_the_published_one_does(make, tokenizer, tmp_path, whole, pixels):
    torch.manual_seed(12)
    vision = {**SIGLIP, "image_size": pixels}
    if whole:
        text = SiglipTextConfig(**{k: v for k, v in SIGLIP.items() if k != "patch_size"}, vocab_size=50)
        network = SiglipModel(SiglipConfig(vision_config=SiglipVisionConfig(**vision), text_config=text))
        published = network.vision_model
    else:
        network = published = SiglipVisionModel(SiglipVisionConfig(**vision))
    network.save_pretrained(tmp_path / "siglip")
    model = make()
    [line] = load(model, tokenizer, tmp_path, siglip=tmp_path / "siglip")
    assert ("positions 6 x 6 resized to 8 x 8 (bicubic)" in line) == (pixels == 48)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        theirs = published.eval()(images, interpolate_pos_encoding=pixels == 48).last_hidden_state
        ours = model.vision.siglip.vision_model.eval()(images).last_hidden_state
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_resized_positions_are_torchs_bicubic_at_the_published_size():
    table = torch.randn(27 * 27, 5)
    expected = F.interpolate(table.T.reshape(1, 5, 27, 27), size=(32, 32), mode="bicubic", align_corners=False)
    assert torch.allclose(resized_positions(table, 32), expected[0].reshape(5, -1).T, atol=1e-6)
    assert torch.allclose(resized_positions(table, 27), table, atol=1e-6)


@pytest.mark.parametrize("as_file", [True, False], ids=["file", "folder"])
def test_convnext_computes_what_timms_does(make, tokenizer, tmp_path, as_file):
    torch.manual_seed(13)
    published = ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 8, 16, 24), num_classes=7, norm_eps=1e-5, ls_init_value=0.3)
    save_file(published.state_dict(), tmp_path / "model.safetensors")
    model = make()
    load(model, tokenizer, tmp_path, convnext=tmp_path / "model.safetensors" if as_file else tmp_path)
    trunk, images = model.vision.convnext.trunk.eval(), torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        assert torch.equal(trunk.stages(trunk.stem(images)), published.eval().stages(published.stem(images)))


def test_a_checkpoint_of_ours_gives_all_parts(make, tokenizer, tmp_path):
    source = make()
    with torch.no_grad():
        source.connector[1].weight.fill_(0.25)
    save_checkpoint(str(tmp_path / "mine"), source, files={"tokenizer.json": tokenizer.to_json().encode()})
    model = make()
    load(model, tokenizer, tmp_path, checkpoint="mine")
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_tensor_that_is_missing_unknown_or_misshapen_is_named(make, qwen, tokenizer, tmp_path):
    folder, _ = qwen()
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.7.odd"] = torch.zeros(2)
    tensors["model.layers.0.mlp.up_proj.weight"] = torch.zeros(3, 32)
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AerieError) as caught:
        load(make(), tokenizer, tmp_path, language=folder)
    assert "qwen doesn't fit the recipe's network: model.norm.weight is missing; " in str(caught.value)
    assert "model.layers.7.odd is unknown" in str(caught.value)
    assert "model.layers.0.mlp.up_proj.weight has shape [3, 32], expected [64, 32]" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 4}, "num_attention_heads is 8"),
        ({"rms_norm_eps": 1e-5}, "rms_norm_eps is 1e-05, the recipe's model part says 1e-06"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}}, "rope_parameters is .*10000"),
        ({"vocab_size": 200}, "embed_tokens.weight has 200 rows, the tokenizer [0-9]+ tokens"),
    ],
)
def test_another_geometry_is_named(make, qwen, tokenizer, tmp_path, change, message):
    folder, _ = qwen(**change)
    with pytest.raises(AerieError, match=message):
        load(make(), tokenizer, tmp_path, language=folder)


def test_another_kind_of_network_is_named(make, qwen, tokenizer, tmp_path):
    folder, _ = qwen()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(AerieError, match="model_type is 'llama', expected 'qwen2'"):
        load(make(), tokenizer, tmp_path, language=folder)


def test_tied_weights_do_not_fit_an_untied_network(make, qwen, tokenizer, tmp_path):
    folder, _ = qwen(tied=True)
    with pytest.raises(AerieError, match="tie_word_embeddings is True"):
        load(make(tied=False), tokenizer, tmp_path, language=folder)


def test_another_tokenizer_is_refused(make, qwen, base, tmp_path):
    folder, _ = qwen()
    document = json.loads(base.to_str())
    vocabulary = document["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    other = ChatTokenizer(with_special_tokens(type(base).from_str(json.dumps(document))))
    with pytest.raises(AerieError, match=r"2 of its tokens have another id in the run's tokenizer, the first is 'a'"):
        load(make(), other, tmp_path, language=folder)


def test_a_missing_folder_and_file_are_named(make, tokenizer, tmp_path):
    with pytest.raises(AerieError, match=r"file not found: .*nowhere/model\.safetensors"):
        load(make(), tokenizer, tmp_path, siglip="nowhere")
    with pytest.raises(AerieError, match=r"file not found: .*convnext\.safetensors"):
        load(make(), tokenizer, tmp_path, convnext="convnext.safetensors")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"pretrained": {"convnext": "x"}}, "the network has no convnext"),
        ({"pretrained": {"language": "x"}}, "pretrained.language needs tokenizer.path"),
        ({"pretrained": {"checkpoint": "x", "siglip": "y"}}, "name it alone"),
    ],
)
def test_contradictory_recipes_are_refused(document, message):
    with pytest.raises(ValidationError, match=message):
        ModelSettings.model_validate(document)


def test_nothing_named_changes_nothing(make, tokenizer, tmp_path):
    assert load(make(), tokenizer, tmp_path) == []


def test_a_stage_without_a_parent_starts_from_what_the_recipe_names(training_folder, alone, tmp_path, capsys):
    SiglipVisionModel(SiglipVisionConfig(**SIGLIP, image_size=48)).save_pretrained(tmp_path / "siglip")
    document = yaml.safe_load((training_folder / "recipe.yaml").read_text())
    document["model"]["pretrained"] = {"siglip": "siglip"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(document))
    places = [str(training_folder / name) for name in ("packing/stage_1", "formatting", "tokenizer")]
    names = ("packing_uri", "formatting_uri", "tokenizer_uri")
    common = {"recipe_uri": str(tmp_path / "recipe.yaml"), "recipe_sha256": "", "out_uri": "", "fingerprint": ""}
    recipe = load_recipe(common["recipe_uri"])
    job = TrainingJob(stage="stage_1", parent_uri="", **common, **dict(zip(names, places, strict=True)))
    model = initial_network(job, recipe, PackLoader.open(recipe, "stage_1", *places))
    published = load_file(tmp_path / "siglip/model.safetensors")["encoder.layers.0.mlp.fc1.weight"]
    assert torch.equal(model.vision.siglip.vision_model.encoder.layers[0].mlp.fc1.weight, published)
    assert "stage_1  siglip starts from" in capsys.readouterr().out
