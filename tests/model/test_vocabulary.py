import base64
import json
from pathlib import Path

import pytest
import yaml

from data.errors import AerieError
from data.storage import read_attachment, read_manifest, read_samples
from model.inputs.tokens import ChatTokenizer
from model.recipe import load_recipe
from model.steps import train_tokenizer


def with_tokenizer(finished_run, folder, **settings):
    """The run's recipe with other tokenizer settings."""
    document = yaml.safe_load(Path(finished_run[0]).read_text())
    document["model"]["tokenizer"] |= settings
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path), load_recipe(str(path)).sha256


def test_the_training_text_survives_and_frequent_answers_are_short(finished_run):
    _, _, run = finished_run
    tokenizer = ChatTokenizer.load(f"{run}/tokenizer")
    for sample in read_samples(f"{run}/formatting", read_manifest(f"{run}/formatting")):
        for turn in sample.conversations:
            assert tokenizer.decode(tokenizer.encode(turn.content)) == turn.content
    assert len(tokenizer.encode("yes")) == len(tokenizer.encode("no")) == 1


def test_the_report_tells_the_compression(finished_run):
    folder = f"{finished_run[2]}/tokenizer"
    report = json.loads(read_attachment(folder, read_manifest(folder), "report"))
    assert report["vocab_size"] == ChatTokenizer.load(folder).vocab_size
    assert report["characters_per_token"] == pytest.approx(report["characters"] / report["tokens"])
    assert report["characters_per_token"] > 1.5


def test_a_published_tokenizer_is_taken_and_gets_the_chat_tokens(finished_run, tmp_path):
    run = finished_run[2]
    recipe = with_tokenizer(finished_run, tmp_path, path=f"{run}/tokenizer")
    train_tokenizer(*recipe, f"{run}/formatting", str(tmp_path / "out"))
    ours, theirs = ChatTokenizer.load(f"{run}/tokenizer"), ChatTokenizer.load(str(tmp_path / "out"))
    assert theirs.encode("is a red shape present?") == ours.encode("is a red shape present?")
    assert theirs.image_context_id == ours.image_context_id


def test_a_qwen_tiktoken_is_taken_too(finished_run, tmp_path):
    lines = [base64.b64encode(bytes([byte])) + b" %d\n" % byte for byte in range(256)]
    (tmp_path / "qwen.tiktoken").write_bytes(b"".join(lines))
    recipe = with_tokenizer(finished_run, tmp_path, path="qwen.tiktoken")
    train_tokenizer(*recipe, f"{finished_run[2]}/formatting", str(tmp_path / "out"))
    tokenizer = ChatTokenizer.load(str(tmp_path / "out"))
    assert tokenizer.encode("né") == list("né".encode())
    assert tokenizer.im_end_id == 258
    assert tokenizer.image_context_id == 256 + 22


def test_a_missing_published_tokenizer_is_named(finished_run, tmp_path):
    recipe = with_tokenizer(finished_run, tmp_path, path="nowhere/tokenizer.json")
    with pytest.raises(AerieError, match=r"nowhere/tokenizer\.json"):
        train_tokenizer(*recipe, f"{finished_run[2]}/formatting", str(tmp_path / "out"))
