"""Every folder that holds a network can be chatted with; one that doesn't says what it lacks."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from data.errors import AerieError
from model.chat_files import open_checkpoint
from model.checkpoint import save_checkpoint
from model.hf.export import save_hf
from model.inputs.tokens import ChatTokenizer, train_bpe


def save(checkpoint, folder, tokenizer=True) -> str:
    files = {"tokenizer.json": checkpoint.tokenizer.to_json().encode()} if tokenizer else {}
    save_checkpoint(str(folder), checkpoint.model, files=files)
    return str(folder)


def assert_same(opened, checkpoint) -> None:
    weights = opened.model.state_dict()
    for name, value in checkpoint.model.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert opened.tokenizer.to_json() == checkpoint.tokenizer.to_json()
    assert not opened.model.training


def test_a_checkpoint_folder(colour_checkpoint, tmp_path):
    assert_same(open_checkpoint(save(colour_checkpoint, tmp_path / "own")), colour_checkpoint)


def test_an_export_for_the_auto_classes(colour_checkpoint, tmp_path):
    save_hf(colour_checkpoint, str(tmp_path))
    assert_same(open_checkpoint(str(tmp_path)), colour_checkpoint)


def test_a_run_and_its_stage_without_tokenizer(colour_checkpoint, tmp_path, monkeypatch):
    """As runs from before stages kept their tokenizer lie on people's disks."""
    (tmp_path / "run" / "tokenizer").mkdir(parents=True)
    (tmp_path / "run/recipe.yaml").write_text("name: run")
    (tmp_path / "run/tokenizer/tokenizer.json").write_text(colour_checkpoint.tokenizer.to_json())
    with pytest.raises(AerieError, match="has no trained stage yet"):
        open_checkpoint(str(tmp_path / "run"))
    stage = save(colour_checkpoint, tmp_path / "run/stage_1", tokenizer=False)
    for place in (stage, f"{stage}/", tmp_path / "run"):
        assert_same(open_checkpoint(str(place)), colour_checkpoint)
    monkeypatch.chdir(stage)
    assert_same(open_checkpoint("."), colour_checkpoint)
    (tmp_path / "run/stage_2").mkdir()
    (tmp_path / "run/stage_2/config.json").write_text("{}")
    with pytest.raises(AerieError, match=r"stage_2/config\.json describes a network of type ''"):
        open_checkpoint(str(tmp_path / "run"))


def test_the_named_tokenizer_is_taken(colour_checkpoint, tmp_path):
    folder = save(colour_checkpoint, tmp_path / "own", tokenizer=False)
    with pytest.raises(AerieError, match=r"own has no tokenizer\.json; name the one .* --tokenizer RUN/tokenizer"):
        open_checkpoint(folder)
    (tmp_path / "other").mkdir()
    file = tmp_path / "other/tokenizer.json"
    file.write_text(colour_checkpoint.tokenizer.to_json())
    for named in (file, file.parent):
        assert_same(open_checkpoint(folder, str(named)), colour_checkpoint)
    with pytest.raises(AerieError, match=r"file not found: .*nowhere/tokenizer\.json"):
        open_checkpoint(folder, str(tmp_path / "nowhere"))
    file.write_text(ChatTokenizer(train_bpe(["another text"], 300)).to_json())
    with pytest.raises(AerieError, match="name the tokenizer"):
        open_checkpoint(folder, str(file))


def test_object_storage(colour_checkpoint, s3_uri):
    assert_same(open_checkpoint(save(colour_checkpoint, f"{s3_uri}/own")), colour_checkpoint)


def test_folders_that_hold_no_network_of_ours(colour_checkpoint, tmp_path):
    with pytest.raises(AerieError, match=r"is no checkpoint: no config\.json there .* no recipe\.yaml"):
        open_checkpoint(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "eagle_chat"}))
    with pytest.raises(AerieError, match=r"type 'eagle_chat', not one of ours; .* read by aerie import"):
        open_checkpoint(str(tmp_path))
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(AerieError, match=r"config\.json is not a JSON object"):
        open_checkpoint(str(tmp_path))


def test_a_damaged_export_is_named(colour_checkpoint, tmp_path):
    folder = tmp_path / "hf"
    save_hf(colour_checkpoint, str(folder))
    weights = folder / "model.safetensors"
    shutil.copy(weights, tmp_path / "whole")
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(AerieError, match="hf can't be loaded: "):
        open_checkpoint(str(folder))
    weights.unlink()
    with pytest.raises(AerieError, match="hf can't be loaded: "):
        open_checkpoint(str(folder))
    shutil.copy(tmp_path / "whole", weights)
    config = json.loads(Path(folder, "config.json").read_text())
    config["settings"]["language"]["num_layers"] = 3
    Path(folder, "config.json").write_text(json.dumps(config))
    with pytest.raises(AerieError, match=r"don't fit its config\.json: .*missing_keys.*layers\.2"):
        open_checkpoint(str(folder))
