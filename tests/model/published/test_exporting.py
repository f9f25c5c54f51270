"""A round trip gives back every bit; a network of our own gets a config that reads back as its settings."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from data.errors import AerieError
from model.checkpoint import load_checkpoint, save_checkpoint
from model.config import ModelSettings
from model.inputs.tokens import IMAGE_CONTEXT
from model.published.exporting import export_published
from model.published.importing import import_published
from model.vlm import build_model

LAYOUTS = {"eagle2_5": "eagle2_5", "eagle2": "eagle2", "mixture": "eagle2", "mixture_swapped": "eagle2"}


def tensors(folder):
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= load_file(path)
    return found


def same(ours, theirs):
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype, name
        assert torch.equal(ours[name], value), name


@pytest.mark.parametrize("stored_head", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_round_trip_is_bit_exact(publish, kind, dtype, stored_head, tmp_path):
    published = publish(kind, dtype=dtype, stored_head=stored_head, buffers=True)
    import_published(str(published.folder), str(tmp_path / "ours"))
    report = export_published(str(tmp_path / "ours"), LAYOUTS[kind], str(tmp_path / "back"))
    same(tensors(tmp_path / "back"), published.state)
    assert report.tensors == len(published.state)
    assert (report.written_back > 0, report.left_out) == (True, ())
    for path in published.folder.iterdir():
        back = tmp_path / "back" / path.name
        if path.suffix == ".json":
            assert json.loads(back.read_bytes()) == json.loads(path.read_bytes()), path.name
        elif path.suffix == ".txt":
            assert back.read_bytes() == path.read_bytes()
    assert {path.name for path in (tmp_path / "back").iterdir()} == {path.name for path in published.folder.iterdir()}


def test_shards_come_and_go(publish, tmp_path):
    published = publish("mixture", max_tensors=30)
    import_published(str(published.folder), str(tmp_path / "ours"), max_shard_bytes=60_000)
    assert len(list((tmp_path / "ours").glob("model-*.safetensors"))) > 1
    export_published(str(tmp_path / "ours"), "eagle2", str(tmp_path / "back"), max_shard_bytes=60_000)
    shards = list((tmp_path / "back").glob("model-*.safetensors"))
    assert len(shards) > 1
    same(tensors(tmp_path / "back"), published.state)
    index = json.loads((tmp_path / "back/model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(published.state)
    assert index["metadata"]["total_size"] == sum(value.nbytes for value in published.state.values())


SIGLIP = {"hidden_size": 16, "intermediate_size": 24, "num_layers": 1, "num_heads": 2, "patch_size": 14}
LANGUAGE = {"hidden_size": 32, "intermediate_size": 48, "num_layers": 1, "num_heads": 4, "num_kv_heads": 2,
            "max_positions": 512, "rope_theta": 10000.0}  # fmt: skip


def our_settings(**changes):
    tiling = {"tile_size": 448, "max_tiles": 6, "thumbnail": True}
    parts = {"tiling": tiling, "siglip": SIGLIP, "language": LANGUAGE}
    return ModelSettings(**{**parts, **changes})


CONVNEXT = {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 24), "image_size": 512}


@pytest.fixture
def ours(bpe, tmp_path):
    """(settings) -> folder of a checkpoint that was never imported."""

    def make(settings):
        model = build_model(settings, bpe.get_vocab_size(), bpe.token_to_id(IMAGE_CONTEXT), seed=3)
        save_checkpoint(str(tmp_path / "ours"), model, files={"tokenizer.json": bpe.to_str().encode()})
        return str(tmp_path / "ours")

    return make


@pytest.mark.parametrize(
    ("layout", "changes"),
    [
        ("eagle2_5", {"system_prompt": "You're Aerie."}),
        ("eagle2", {}),
        ("eagle2", {"convnext": CONVNEXT}),
        ("eagle2_5", {"tiling": {"tile_size": 56, "max_tiles": 1, "thumbnail": False}}),
        ("eagle2", {"siglip": {**SIGLIP, "layer_norm_eps": 1e-5, "hidden_act": "gelu"}}),
        ("eagle2_5", {"language": {**LANGUAGE, "rms_norm_eps": 1e-5, "hidden_act": "gelu"}}),
    ],
)
def test_what_was_trained_here_reads_back_as_it_is(ours, layout, changes, tmp_path):
    folder = ours(our_settings(**changes))
    report = export_published(folder, layout, str(tmp_path / "out"))
    assert "SigLIP's pooling head" in report.left_out
    assert set(report.files) == {path.name for path in (tmp_path / "out").iterdir()}
    imported = import_published(str(tmp_path / "out"), str(tmp_path / "back"))
    assert imported.ignored == {}
    first, second = load_checkpoint(folder), load_checkpoint(str(tmp_path / "back"))
    settings = first.model.settings
    language = settings.language.model_copy(update={"embedding_rows": first.model.vocab_size})  # said by vocab_size
    assert second.model.settings == settings.model_copy(update={"language": language})
    assert second.model.vocab_size == first.model.vocab_size
    same(second.model.state_dict(), first.model.state_dict())
    assert second.tokenizer.encode("a red, 12 it's") == first.tokenizer.encode("a red, 12 it's")


def test_the_published_fields_are_all_there(ours, publish, tmp_path):
    """Every field that a published config has and that says something about the network."""
    silent = {"_name_or_path", "transformers_version", "efficient_loss", "loss_version"}
    for kind, changes in (("eagle2_5", {}), ("mixture", {"convnext": CONVNEXT})):
        out = tmp_path / kind
        export_published(ours(our_settings(**changes)), LAYOUTS[kind], str(out))
        written = json.loads((out / "config.json").read_text())
        published = publish(kind).config
        assert set(published) - silent <= set(written)
        assert set(published["vision_config"]) - set(written["vision_config"]) <= PRETRAINED_FIELDS
        text = "text_config" if kind == "eagle2_5" else "llm_config"
        assert set(published[text]) - set(written[text]) <= PRETRAINED_FIELDS
        shutil.rmtree(tmp_path / "ours")


# What transformers writes into every config, whatever the network.
PRETRAINED_FIELDS = {
    "_name_or_path", "chunk_size_feed_forward", "dtype", "id2label", "is_encoder_decoder", "label2id", "layer_types",
    "output_attentions", "output_hidden_states", "pad_token_id", "problem_type", "return_dict", "transformers_version",
}  # fmt: skip


def test_the_tokenizer_files_load_with_transformers(ours, bpe, tmp_path):
    export_published(ours(our_settings(system_prompt="You're Aerie.")), "eagle2_5", str(tmp_path / "out"))
    for name in ("config.json", "processor_config.json", "preprocessor_config.json"):
        (tmp_path / "out" / name).unlink()  # they name code on the hub
    fast = AutoTokenizer.from_pretrained(tmp_path / "out")
    (tmp_path / "out/tokenizer.json").unlink()
    slow = AutoTokenizer.from_pretrained(tmp_path / "out")
    for tokenizer in (fast, slow):
        assert tokenizer("it's 12 <box>")["input_ids"] == bpe.encode("it's 12 <box>").ids
        assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what?"}]}],
            tokenize=False, add_generation_prompt=True,
        )  # fmt: skip
        assert text == (
            "<|im_start|>system\nYou're Aerie.<|im_end|>\n<|im_start|>user\n<image-1>what?<|im_end|>\n"
            "<|im_start|>assistant\n"
        )


REFUSALS = {
    "mixture": ("eagle2_5", {"convnext": CONVNEXT}, "holds SigLIP alone"),
    "strategy": ("eagle2", {"tiling": {"strategy": "aspect"}}, "can't hold model.tiling.strategy 'aspect'"),
    "strategy 2.5": ("eagle2_5", {"tiling": {"strategy": "aspect"}}, "its readers tile by 'area'"),
    "numbers": ("eagle2_5", {"number_images": False}, "can't hold model.number_images false"),
    "epsilon": ("eagle2", {"convnext": {**CONVNEXT, "norm_eps": 1e-6}}, "ConvNeXt has norm_eps 1e-05, not 1e-06"),
    "prompt": ("eagle2", {"system_prompt": "You're Aerie."}, "can't hold model.system_prompt"),
    "size": (
        "eagle2",
        {"tiling": {"tile_size": 56}, "convnext": {**CONVNEXT, "image_size": 64}},
        "fixed at tiles of 448 px and ConvNeXt at 512; this network has 56 and 64",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_a_layout_cannot_hold_is_refused(ours, refusal, tmp_path):
    layout, changes, message = REFUSALS[refusal]
    with pytest.raises(AerieError, match=message):
        export_published(ours(our_settings(**changes)), layout, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_imported_network_goes_to_the_other_layout_with_its_heads(publish, tmp_path):
    published = publish("eagle2", stored_head=True)
    import_published(str(published.folder), str(tmp_path / "ours"))
    export_published(str(tmp_path / "ours"), "eagle2_5", str(tmp_path / "other"))
    del published.state["language_model.lm_head.weight"]  # tied: the other layout has it once
    same(tensors(tmp_path / "other"), published.state)
    assert json.loads((tmp_path / "other/config.json").read_text())["model_type"] == "eagle_2_5_vl"


def test_s3_folders_work_both_ways(publish, s3_uri, tmp_path):
    published = publish("eagle2_5", buffers=True)
    import_published(str(published.folder), f"{s3_uri}/ours")
    export_published(f"{s3_uri}/ours", "eagle2_5", str(tmp_path / "back"))
    same(tensors(tmp_path / "back"), published.state)


def test_a_folder_that_is_no_checkpoint(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(AerieError, match="file not found"):
        export_published(str(tmp_path / "empty"), "eagle2", str(tmp_path / "out"))
