"""What the export writes, and the five lines that a user needs for it."""

import re
from pathlib import Path

import torch

import model.hf
from data.files import read_bytes
from model.chat_files import open_checkpoint
from model.hf.export import save_hf

FILES = [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
]


def test_the_five_lines_of_the_docstring_work(hf_folder, colour_pictures, monkeypatch, tmp_path, capsys):
    lines = re.findall(r"^ {4}(.+)$", model.hf.__doc__, re.MULTILINE)
    assert len(lines) == 5
    monkeypatch.chdir(tmp_path)
    for name, colour in (("red.png", "red"), ("blue.jpg", "blue")):
        Path("picture.png").write_bytes(Path(colour_pictures[name]).read_bytes())
        code = "\n".join(lines).replace("What does the picture show?", "which colour?")
        exec(code, {"FOLDER": hf_folder})
        assert capsys.readouterr().out.strip() == colour


def test_the_folder_has_what_the_auto_classes_need(colour_checkpoint, tmp_path):
    assert save_hf(colour_checkpoint, str(tmp_path / "one")) == FILES
    sharded = save_hf(colour_checkpoint, str(tmp_path / "many"), max_shard_size="40KB")
    assert "model.safetensors.index.json" in sharded
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == sharded
    weights = open_checkpoint(str(tmp_path / "many")).model.state_dict()
    for name, value in colour_checkpoint.model.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_an_export_to_object_storage_has_the_same_bytes(colour_checkpoint, hf_folder, s3_uri):
    assert save_hf(colour_checkpoint, f"{s3_uri}/hf") == FILES
    for name in FILES:
        assert read_bytes(f"{s3_uri}/hf/{name}") == Path(hf_folder, name).read_bytes()
