"""A published checkpoint computes under our names what it computes under its own."""

import json

import pytest
import torch

from data.errors import AerieError
from model.checkpoint import load_checkpoint
from model.inputs.batch import IGNORE_INDEX, EncodedSample
from model.inputs.merge import merge
from model.published.importing import import_published
from model.published.report import UnexplainedKeysError
from model.vlm import PackTensors

KINDS = ("eagle2_5", "eagle2", "mixture", "mixture_swapped")


def our_logits(model, ids, tiles):
    sample = EncodedSample(
        sample_id="s", source="made", category="general_vqa", input_ids=ids.numpy(),
        labels=ids.numpy() * 0 + IGNORE_INDEX, tiles=tiles.numpy(),
    )  # fmt: skip
    with torch.no_grad():
        return model.language.lm_head(model.hidden_states(PackTensors.of(merge([sample]))))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_public_modules(publish, kind, tmp_path):
    published = publish(kind, tied=kind != "mixture")
    report = import_published(str(published.folder), str(tmp_path / "out"))
    assert report.explained
    checkpoint = load_checkpoint(str(tmp_path / "out"))
    ids, tiles = published.question()
    ours, theirs = our_logits(checkpoint.model, ids, tiles), published.network.logits(ids, tiles)
    assert ours.shape == theirs.shape
    difference = (ours - theirs).abs().max()
    assert difference < 1e-4
    assert (published.network.logits(ids, tiles.flip(1)) - theirs).abs().max() > 1e-2, "the pictures must matter"
    assert checkpoint.tokenizer.encode("it's 12 red") == published.tokenizer.encode("it's 12 red").ids


def test_settings_are_those_of_the_config(publish, tmp_path):
    published = publish("mixture", tied=False)
    import_published(str(published.folder), str(tmp_path / "out"))
    model = load_checkpoint(str(tmp_path / "out")).model
    settings = model.settings
    assert settings.tiling.model_dump() == {
        "tile_size": 448, "max_tiles": 12, "strategy": "area", "thumbnail": True
    }  # fmt: skip
    assert (settings.convnext.depths, settings.convnext.dims) == ((1, 1, 2, 1), (8, 8, 16, 24))
    assert (settings.siglip.num_layers, settings.siglip.intermediate_size) == (2, 24)
    assert not settings.language.tie_embeddings
    assert settings.language.embedding_rows == model.vocab_size
    assert settings.language.rope_theta == 1_000_000.0
    assert settings.system_prompt == "You are a helpful assistant."
    assert model.vocab_size == published.config["llm_config"]["vocab_size"]


def test_every_key_is_accounted_for(publish, tmp_path):
    published = publish("mixture", buffers=True, stored_head=True)
    report = import_published(str(published.folder), str(tmp_path / "out"))
    assert set(report.loaded) | set(report.ignored) == set(published.state)
    assert not set(report.loaded) & set(report.ignored)
    ignored = {name.split("vision_tower.")[-1] for name in report.ignored}
    assert {
        "vision_model.head.probe",
        "head.fc.weight",
        "head.norm.bias",
        "vision_model.embeddings.position_ids",
    } < ignored
    assert "language_model.lm_head.weight" in ignored
    assert json.loads((tmp_path / "out/import_report.json").read_text())["ignored"] == report.ignored


@pytest.mark.parametrize("kind", ["eagle2_5", "mixture"])
def test_precision_and_shards(publish, kind, tmp_path):
    published = publish(kind, dtype=torch.bfloat16, max_tensors=20)
    import_published(str(published.folder), str(tmp_path / "out"))
    model = load_checkpoint(str(tmp_path / "out")).model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert torch.equal(model.connector[1].weight, published.state["mlp1.1.weight"])


def test_the_prompt_of_a_chat_template_is_kept(publish, tmp_path):
    published = publish("eagle2_5")
    template = "{{ '<|im_start|>system\nYou are Eagle.<|im_end|>\n<|im_start|>user\n' + messages[0]['content'] }}"
    (published.folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    import_published(str(published.folder), str(tmp_path / "out"))
    assert load_checkpoint(str(tmp_path / "out")).model.settings.system_prompt == "You are Eagle."


def remove_key(published):
    del published.state["mlp1.1.bias"]


def add_key(published):
    published.state["mlp1.2.weight"] = torch.zeros(1)


def timm_scale(published):
    prefix = "vision_model.vision_model.vision_towers.1.vision_tower.stages.0.blocks.0."
    published.state[prefix + "gamma"] = published.state.pop(prefix + "weight")


def narrow(published):
    published.state["mlp1.3.bias"] = torch.zeros(7)


KEY_DAMAGE = {
    "missing": ("eagle2_5", remove_key, r"1 missing: mlp1\.1\.bias"),
    "unexpected": ("eagle2_5", add_key, r"1 unexpected: mlp1\.2\.weight"),
    "timm's name": ("mixture", timm_scale, r"1 missing: \S+blocks\.0\.weight; 1 unexpected: \S+blocks\.0\.gamma"),
    "wrong shape": ("eagle2_5", narrow, r"1 wrong shape: mlp1\.3\.bias \(\[7\] instead of \[32\]\)"),
}


@pytest.mark.parametrize("damage", KEY_DAMAGE)
def test_unexplained_keys_stop_the_import(publish, damage, tmp_path):
    kind, change, message = KEY_DAMAGE[damage]
    published = publish(kind)
    change(published)
    published.write()
    with pytest.raises(UnexplainedKeysError, match=message) as caught:
        import_published(str(published.folder), str(tmp_path / "out"))
    assert not caught.value.report.explained
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["import_report.json"]


CONFIG_DAMAGE = {
    "model type": ("eagle2_5", {"model_type": "llava"}, r"unknown model_type 'llava'; known are eagle_chat"),
    "no vision": ("eagle2_5", {"vision_config": None}, r"vision_config is not a JSON object"),
    "no layers": ("eagle2_5", {"text_config.num_hidden_layers": None}, r"has no field text_config\.num_hidden_layers"),
    "odd width": ("eagle2_5", {"vision_config.hidden_size": 15}, r"siglip\.hidden_size must be a multiple"),
    "a text": ("eagle2_5", {"text_config.vocab_size": "many"}, r"text_config\.vocab_size is 'many'"),
    "no shuffle": ("eagle2_5", {"use_pixel_shuffle": None}, r"use_pixel_shuffle is False.*only"),
    "other layer": ("eagle2_5", {"select_layer": -4}, r"select_layer is -4, but this network computes -1 only"),
    "scaled rope": ("eagle2_5", {"text_config.rope_scaling": {"type": "yarn"}}, r"rope_scaling is"),
    "activation": ("eagle2", {"vision_config.hidden_act": "relu"}, r"describes no network of ours: hidden_act"),
    "epsilon": ("eagle2_5", {"text_config.rms_norm_eps": 0}, r"describes no network of ours: rms_norm_eps"),
    "image token": ("eagle2_5", {"image_token_index": 7}, r"image_token_index is 7"),
    "template": ("eagle2", {"template": "phi3-chat"}, r"template is 'phi3-chat'"),
    "llama": ("eagle2", {"llm_config.architectures": ["LlamaForCausalLM"]}, r"llm_config\.architectures"),
    "towers": ("mixture", {"vision_config.vision_path": "MOB:palisiglip;sam"}, r"vision_path is 'MOB:palisiglip;sam'"),
    "wrong order": (
        "mixture",
        {"vision_config.vision_path": "MOB:convnext-1024;palisiglip"},
        r"tower 0 is ConvNeXt by vision_config\.vision_path, but",
    ),
    "size": ("mixture", {"vision_config.convnext_img_size": 1024}, r"convnext_img_size is 1024"),
    "rows": ("eagle2_5", {"text_config.vocab_size": 5}, r"tokens, but the embedding has 5 rows"),
}


@pytest.mark.parametrize("damage", CONFIG_DAMAGE)
def test_a_config_that_cannot_be_followed_is_named(publish, damage, tmp_path):
    kind, changes, message = CONFIG_DAMAGE[damage]
    published = publish(kind)
    for path, value in changes.items():
        *parents, name = path.split(".")
        place = published.config
        for parent in parents:
            place = place[parent]
        if value is None:
            del place[name]
        else:
            place[name] = value
    if "vision_config" in changes:
        published.config["vision_config"] = []
    published.write()
    with pytest.raises(AerieError, match=message) as caught:
        import_published(str(published.folder), str(tmp_path / "out"))
    assert str(published.folder) in str(caught.value)
    assert not (tmp_path / "out/config.json").exists()


def test_damaged_files_are_named(publish, tmp_path):
    published, out = publish("eagle2_5", max_tensors=20), str(tmp_path / "out")
    shard = sorted(published.folder.glob("model-*.safetensors"))[1]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-100])
    with pytest.raises(AerieError, match=f"{shard.name} is not a whole safetensors file"):
        import_published(str(published.folder), out)
    shard.unlink()
    with pytest.raises(AerieError, match=f"file not found: .*{shard.name}"):
        import_published(str(published.folder), out)
    shard.write_bytes(whole)
    (published.folder / "config.json").write_text("{")
    with pytest.raises(AerieError, match=r"config\.json is not JSON"):
        import_published(str(published.folder), out)
    with pytest.raises(AerieError, match=r"file not found: .*nowhere/config\.json"):
        import_published(str(tmp_path / "nowhere"), out)


def test_a_tokenizer_is_needed_and_must_know_the_tokens(publish, tmp_path):
    published, out = publish("eagle2_5"), str(tmp_path / "out")
    config = published.folder / "tokenizer_config.json"
    document = json.loads(config.read_text())
    config.write_text(json.dumps({**document, "tokenizer_class": "GPT2Tokenizer"}))
    with pytest.raises(AerieError, match="tokenizer_class is 'GPT2Tokenizer'"):
        import_published(str(published.folder), out)
    decoder = {i: entry for i, entry in document["added_tokens_decoder"].items() if entry["content"] != "<img>"}
    config.write_text(json.dumps({**document, "added_tokens_decoder": decoder}))
    (published.folder / "added_tokens.json").unlink()
    with pytest.raises(AerieError, match="no token '<img>'"):
        import_published(str(published.folder), out)
    (published.folder / "merges.txt").unlink()
    with pytest.raises(AerieError, match=r"has no tokenizer: neither tokenizer\.json nor merges\.txt"):
        import_published(str(published.folder), out)


def test_a_tied_head_that_differs_is_refused(publish, tmp_path):
    published = publish("eagle2_5", stored_head=True)
    published.state["language_model.lm_head.weight"] += 1
    published.write()
    with pytest.raises(AerieError, match="the two differ"):
        import_published(str(published.folder), str(tmp_path / "out"))


def test_a_checkpoint_is_not_overwritten_nor_imported_twice(publish, tmp_path):
    published, out = publish("eagle2_5"), str(tmp_path / "out")
    import_published(str(published.folder), out)
    with pytest.raises(AerieError, match="holds a checkpoint already"):
        import_published(str(published.folder), out)
    with pytest.raises(AerieError, match="a checkpoint of Aerie's own"):
        import_published(out, str(tmp_path / "again"))
