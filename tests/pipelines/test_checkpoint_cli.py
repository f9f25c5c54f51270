"""`aerie import` and `aerie export`: what they say, write and refuse."""

import json

import pytest
from typer.testing import CliRunner

from model.checkpoint import save_checkpoint
from model.config import ModelSettings
from model.inputs.tokens import IMAGE_CONTEXT, train_bpe
from model.tensor_files import open_tensors, write_tensors
from model.vlm import build_model
from pipelines.cli import app


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny network with SigLIP alone, as a stage would leave it."""
    bpe = train_bpe(["what is this?", "a red square"], 300)
    settings = ModelSettings(
        tiling={"tile_size": 56},
        siglip={"hidden_size": 16, "intermediate_size": 24, "num_layers": 1, "num_heads": 2, "patch_size": 14},
        language={"hidden_size": 32, "intermediate_size": 48, "num_layers": 1, "num_heads": 4, "num_kv_heads": 2},
    )
    model = build_model(settings, bpe.get_vocab_size(), bpe.token_to_id(IMAGE_CONTEXT), seed=3)
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(str(folder), model, files={"tokenizer.json": bpe.to_str().encode()})
    return folder


def test_export_and_import_show_files_and_keys(checkpoint, tmp_path):
    shown = call("export", checkpoint, "--format", "eagle2_5", "--out", tmp_path / "out")
    assert shown.exit_code == 0, shown.output
    assert f"{tmp_path}/out/config.json" in shown.output
    assert "Left out, since this network never had them: SigLIP's pooling head" in shown.output
    shown = call("import", tmp_path / "out", "--out", tmp_path / "back")
    assert shown.exit_code == 0, shown.output
    lines = [" ".join(line.replace("│", " ").split()) for line in shown.output.splitlines()]
    assert "Keys (eagle2_5)" in lines
    assert {"missing 0", "unexpected 0", "ignored by design 0"} <= set(lines)
    report = json.loads((tmp_path / "back/import_report.json").read_text())
    assert f"loaded {len(report['loaded'])}" in lines
    assert report["explained"]


def test_unexplained_keys_are_shown_and_end_with_2(checkpoint, tmp_path):
    assert call("export", checkpoint, "--format", "eagle2_5", "--out", tmp_path / "out").exit_code == 0
    with open_tensors(str(tmp_path / "out")) as reader:
        kept = {name: header for name, header in reader.headers.items() if name != "mlp1.0.bias"}
        write_tensors(str(tmp_path / "less"), kept, reader.load)
    (tmp_path / "less/model.safetensors").rename(tmp_path / "out/model.safetensors")
    shown = call("import", tmp_path / "out", "--out", tmp_path / "back")
    assert shown.exit_code == 2
    assert "1 missing: mlp1.0.bias" in shown.output
    assert "the network needs it" in shown.output
    assert "Traceback" not in shown.output
    assert not json.loads((tmp_path / "back/import_report.json").read_text())["explained"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "{tmp}/none", "--out", "{tmp}/out"], "file not found: {tmp}/none/config.json"),
        (["import", "{checkpoint}", "--out", "{tmp}/out"], "a checkpoint of Aerie's own"),
        (["export", "{tmp}/none", "--format", "eagle2", "--out", "{tmp}/out"], "file not found: {tmp}/none"),
        (["export", "{checkpoint}", "--format", "eagle2", "--out", "{checkpoint}"], "holds a checkpoint already"),
        (["export", "{checkpoint}", "--format", "onnx", "--out", "{tmp}/out"], "'onnx' is not one of"),
    ],
)
def test_mistakes_are_one_message(checkpoint, tmp_path, arguments, message):
    places = {"tmp": tmp_path, "checkpoint": checkpoint}
    shown = call(*(argument.format(**places) for argument in arguments))
    assert shown.exit_code == 2
    assert message.format(**places) in " ".join(shown.output.split())
    assert "Traceback" not in shown.output


@pytest.mark.parametrize("command", ["import", "export"])
def test_help_names_the_published_checkpoints(command):
    shown = call(command, "--help")
    assert shown.exit_code == 0
    assert "Eagle2-1B" in shown.output


def test_hugging_face_folders_are_written_too(checkpoint, tmp_path):
    pytest.importorskip("model.hf.export")
    shown = call("export", checkpoint, "--format", "hf", "--out", tmp_path / "out")
    assert shown.exit_code == 0, shown.output
    assert (tmp_path / "out/config.json").is_file()
