import json

import pytest
import torch

from data.errors import AerieError
from model.checkpoint import empty_network, load_checkpoint, load_model, save_checkpoint
from model.checkpoint_files import CONFIG_FILE
from model.costs.cost import meta_network
from model.inputs.merge import merge
from model.inputs.tokens import IMAGE_CONTEXT, train_bpe
from model.tensor_files import INDEX_FILE, WEIGHTS_FILE
from model.vlm import PackTensors, build_model


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(["what is red", "a red square and a blue circle"], 300)


@pytest.fixture
def spoken(tiny_settings, tokenizer):
    """A tiny network that speaks `tokenizer`."""
    rows = tokenizer.get_vocab_size() + 5  # as the published ones, a network may have more rows than tokens
    return build_model(tiny_settings, rows, tokenizer.token_to_id(IMAGE_CONTEXT), seed=3)


def save_spoken(folder, model, tokenizer, **options):
    files = {"tokenizer.json": tokenizer.to_str().encode(), "recipe.yaml": b"name: x\n"}
    return save_checkpoint(str(folder), model, files=files, **options)


def hidden(model, encoded):
    with torch.no_grad():
        return model.eval().hidden_states(PackTensors.of(merge([encoded(20, 1, 1)])))


def test_round_trip_gives_the_same_network(tiny_model, encoded, tmp_path):
    save_checkpoint(str(tmp_path), tiny_model)
    again = load_model(str(tmp_path))
    assert not again.training
    assert torch.equal(hidden(again, encoded), hidden(tiny_model, encoded))


def test_a_checkpoint_is_the_network_and_its_tokenizer(spoken, tokenizer, tmp_path):
    hashes = save_spoken(tmp_path, spoken, tokenizer)
    assert set(hashes) == {CONFIG_FILE, WEIGHTS_FILE, "tokenizer.json", "recipe.yaml"}
    assert {path.name for path in tmp_path.iterdir()} == set(hashes)
    found = load_checkpoint(str(tmp_path))
    assert found.model.vocab_size == spoken.vocab_size
    assert found.tokenizer.encode("a red circle") == tokenizer.encode("a red circle").ids
    for name, value in spoken.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], value), name


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_precision_is_kept_and_shards_are_read(spoken, tokenizer, tmp_path, precision):
    save_spoken(tmp_path, spoken.to(precision), tokenizer, max_shard_bytes=20_000)
    shards = sorted(path.name for path in tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 2
    assert shards[0] == f"model-00001-of-{len(shards):05d}.safetensors"
    assert (tmp_path / INDEX_FILE).is_file()
    assert not (tmp_path / WEIGHTS_FILE).exists()
    found = load_checkpoint(str(tmp_path)).model
    for name, value in found.named_parameters():
        assert value.dtype == precision, name
        assert torch.equal(value, spoken.get_parameter(name)), name
    assert {p.dtype for p in load_model(str(tmp_path)).parameters()} == {torch.float32}


def test_a_bf16_network_computes(spoken, tokenizer, encoded, tmp_path):
    save_spoken(tmp_path, spoken.to(torch.bfloat16), tokenizer)
    model = load_checkpoint(str(tmp_path)).model
    with torch.no_grad():
        features = model.encode_tiles(torch.from_numpy(encoded(20, 2, 1).tiles))
    assert features.dtype == torch.bfloat16
    assert torch.isfinite(features).all()


def test_an_s3_folder_reads_as_a_local_one(spoken, tokenizer, s3_uri, tmp_path):
    save_spoken(s3_uri, spoken, tokenizer, max_shard_bytes=20_000)
    found = load_checkpoint(s3_uri).model
    assert all(torch.equal(value, spoken.get_parameter(name)) for name, value in found.named_parameters())
    with pytest.raises(AerieError, match=r"nothing/config\.json"):
        load_checkpoint(s3_uri + "/nothing")


def test_a_write_that_dies_leaves_no_checkpoint(spoken, tokenizer, tmp_path, monkeypatch):
    save_spoken(tmp_path, spoken, tokenizer)
    monkeypatch.setattr("model.checkpoint_files.os.replace", _failing_at(2))
    with pytest.raises(OSError, match="full"):
        save_spoken(tmp_path, spoken, tokenizer)
    assert not (tmp_path / CONFIG_FILE).exists(), "the old config would vouch for a mixture of old and new files"
    with pytest.raises(AerieError, match=CONFIG_FILE):
        load_checkpoint(str(tmp_path))


def _failing_at(number):
    import os

    replace, calls = os.replace, []

    def failing(*paths):
        calls.append(paths)
        if len(calls) == number:
            raise OSError("disk full")
        replace(*paths)

    return failing


def test_one_file_after_shards_is_what_counts(spoken, tokenizer, tmp_path):
    save_spoken(tmp_path, spoken, tokenizer, max_shard_bytes=20_000)
    with torch.no_grad():
        spoken.connector[1].bias.fill_(7.0)
    save_spoken(tmp_path, spoken, tokenizer)
    assert torch.equal(load_checkpoint(str(tmp_path)).model.connector[1].bias, spoken.connector[1].bias)


def test_the_config_tells_the_parameters_by_part(tiny_model, tmp_path):
    save_checkpoint(str(tmp_path), tiny_model)
    parameters = json.loads((tmp_path / CONFIG_FILE).read_text())["parameters"]
    assert parameters == meta_network(tiny_model.settings).parameter_counts() | {
        "language": sum(parameter.numel() for parameter in tiny_model.language.parameters())
    }


def test_the_tied_head_is_stored_once_and_stays_tied(tiny_model, tmp_path):
    save_checkpoint(str(tmp_path), tiny_model)
    again = load_model(str(tmp_path))
    assert again.language.lm_head.weight is again.language.model.embed_tokens.weight


def test_a_network_without_weights_has_its_buffers(tiny_settings, tiny_model):
    empty = empty_network(tiny_settings, tiny_model.vocab_size, tiny_model.image_context_id)
    assert empty.language.model.embed_tokens.weight.is_meta
    theirs = dict(tiny_model.named_buffers())
    for name, value in empty.named_buffers():
        assert torch.equal(value, theirs[name]), name


def test_a_truncated_file_is_named(tiny_model, tmp_path):
    save_checkpoint(str(tmp_path), tiny_model)
    weights = tmp_path / WEIGHTS_FILE
    for size in (1000, weights.stat().st_size - 10):
        weights.write_bytes(weights.read_bytes()[:size])
        with pytest.raises(AerieError, match=f"{WEIGHTS_FILE} is not a whole"):
            load_model(str(tmp_path))
        save_checkpoint(str(tmp_path), tiny_model)


def test_a_shard_that_is_gone_is_named(tiny_model, tmp_path):
    save_checkpoint(str(tmp_path), tiny_model, max_shard_bytes=20_000)
    next(tmp_path.glob("model-00002-*")).unlink()
    with pytest.raises(AerieError, match=r"model-00002-.*a shard that the index names"):
        load_model(str(tmp_path))
    (tmp_path / INDEX_FILE).write_text("{}")
    with pytest.raises(AerieError, match=f"{INDEX_FILE} is not an index"):
        load_model(str(tmp_path))


def test_weights_of_another_geometry_are_refused(tiny_model, tmp_path):
    save_checkpoint(str(tmp_path), tiny_model)
    config = tmp_path / CONFIG_FILE
    document = json.loads(config.read_text())
    document["settings"]["language"]["num_layers"] = 3
    config.write_text(json.dumps(document))
    with pytest.raises(AerieError, match=r"language\.model\.layers\.2\.\S+ is missing.*more"):
        load_model(str(tmp_path))


def test_a_tokenizer_of_another_checkpoint_is_refused(tiny_settings, tokenizer, tmp_path):
    save_spoken(tmp_path, build_model(tiny_settings, 96, 90, seed=3), tokenizer)
    with pytest.raises(AerieError, match="belongs to another checkpoint"):
        load_checkpoint(str(tmp_path))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(AerieError, match=r"file not found: .*tokenizer\.json"):
        load_checkpoint(str(tmp_path))


def test_a_folder_without_a_checkpoint(tmp_path):
    with pytest.raises(AerieError, match=r"file not found"):
        load_model(str(tmp_path))
    (tmp_path / CONFIG_FILE).write_text("{}")
    with pytest.raises(AerieError, match="is not a checkpoint's config"):
        load_model(str(tmp_path))
    (tmp_path / CONFIG_FILE).write_text("[")
    with pytest.raises(AerieError, match="is not JSON"):
        load_model(str(tmp_path))
