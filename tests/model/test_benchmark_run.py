"""A checkpoint answers benchmarks from their files: what is asked, skipped, kept, and equal every time."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmark_files import write_tsv
from kill_answers import files_of
from PIL import Image

from data.errors import AerieError
from data.images import encode_png
from data.storage import Manifest, commit
from model.checkpoint import save_checkpoint
from model.evaluation.benchmark_run import AnswerOptions, checkpoint_hash, evaluate_benchmarks
from model.evaluation.predict import Answerer
from model.evaluation.prediction_store import read_prediction_set
from model.inputs.tokens import ChatTokenizer, train_bpe

OPTIONS = AnswerOptions(max_new_tokens=6, batch_size=3)


@pytest.fixture(scope="module")
def checkpoint(colour_checkpoint, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("checkpoint"))
    files = {"tokenizer.json": colour_checkpoint.tokenizer.to_json().encode()}
    save_checkpoint(folder, colour_checkpoint.model, files=files)
    return folder


def picture(number: int) -> str:
    """A red or a blue picture as a TSV cell holds it, no two alike."""
    colour = (255 - number, 0, 0) if number % 2 else (0, 0, 255 - number)
    return base64.b64encode(encode_png(Image.new("RGB", (64, 64), colour))).decode()


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    """Files of two benchmarks, as published but small."""
    folder = tmp_path_factory.mktemp("data")
    charts = [{"question": f"which colour {'is it ' * n}?", "answer": "red"} for n in range(7)]
    choices = [
        {"question": f"which {n}?", "A": "red", "B": "blue", "C": "x", "D": "y", "answer": "A"} for n in range(4)
    ]
    for name, rows in (("chartqa", charts), ("mmstar", choices)):
        more = {"category": "c", "l2_category": "d"} if name == "mmstar" else {}
        write_tsv(folder, name, *({"index": n, "image": picture(n), **row, **more} for n, row in enumerate(rows)))
    return str(folder)


@pytest.fixture
def asked(monkeypatch) -> list[int]:
    """How many questions the network was asked, call by call."""
    calls, answers = [], Answerer.answers

    def counted(self, questions, **given):
        calls.append(len(questions))
        return answers(self, questions, **given)

    monkeypatch.setattr(Answerer, "answers", counted)
    return calls


def run(checkpoint, data, out, *names, tokenizer="", options=OPTIONS):
    return evaluate_benchmarks(checkpoint, tokenizer, names, data, str(out), options)


def test_benchmarks_without_data_are_not_run_and_say_what_to_fetch(checkpoint, data, tmp_path, asked):
    sets, not_run = run(checkpoint, data, tmp_path, "docvqa", "mmstar", "chartqa", "mmstar")
    assert sets == [f"{tmp_path}/mmstar", f"{tmp_path}/chartqa"]
    assert [one.benchmark for one in not_run] == ["docvqa"]
    assert not_run[0].why.startswith("no data: put DocVQA_VAL.tsv there, from https://")
    assert asked == [4, 7]
    stored = read_prediction_set(f"{tmp_path}/chartqa")
    assert [row.question_id for row in stored.predictions()] == [f"chartqa/{n}" for n in range(7)]
    assert (
        {row.checkpoint for row in stored.predictions()}
        == {checkpoint_hash(checkpoint)}
        == {stored.settings.checkpoint}
    )
    assert stored.settings.generation["decoding"] == "greedy"
    _, absent = run(checkpoint, data, tmp_path)
    assert len(absent) == 11
    assert asked == [4, 7], "finished sets are kept"


def test_two_evaluations_are_equal_and_the_batch_size_changes_nothing(checkpoint, data, tmp_path):
    for name, size in (("one", 3), ("two", 3), ("single", 1), ("all", 64)):
        run(checkpoint, data, tmp_path / name, options=replace(OPTIONS, batch_size=size))
    first = files_of(str(tmp_path / "one"))
    assert len(first) == 2 * 3
    outputs = {row.output for row in read_prediction_set(f"{tmp_path}/one/chartqa").predictions()}
    assert len(outputs) > 1, "the network must answer differently for this to mean anything"
    for name in ("two", "single", "all"):
        assert files_of(str(tmp_path / name)) == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 7}, r"generation\.max_new_tokens was 6, is 7"),
        ({"wording": "vlmevalkit"}, "card was"),
    ],
)
def test_other_settings_do_not_mix_with_a_set_that_is_there(checkpoint, data, tmp_path, options, message):
    run(checkpoint, data, tmp_path, "mmstar")
    with pytest.raises(AerieError, match=message):
        run(checkpoint, data, tmp_path, "mmstar", options=replace(OPTIONS, **options))


def test_another_checkpoint_or_other_data_do_not_mix(checkpoint, data, colour_checkpoint, tmp_path):
    out = tmp_path / "out"
    run(checkpoint, data, out, "mmstar")
    other = tmp_path / "other"
    files = {"tokenizer.json": colour_checkpoint.tokenizer.to_json().encode()}
    save_checkpoint(str(other), colour_checkpoint.model, files=files)
    assert checkpoint_hash(str(other)) == checkpoint_hash(checkpoint), "a copy is the same checkpoint"
    commit(str(other), Manifest(step="stage_2", fingerprint="another run", recipe_sha256="", rows=0, shards=()))
    with pytest.raises(AerieError, match="checkpoint was"):
        run(str(other), data, out, "mmstar")
    fewer = Path(tmp_path, "fewer")
    fewer.mkdir()
    (fewer / "MMStar.tsv").write_text("".join(Path(data, "MMStar.tsv").read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(AerieError, match=r"questions was 4, is 3; questions_sha256 was"):
        run(checkpoint, str(fewer), out, "mmstar")


def test_mistakes_are_named_before_the_network_is_loaded(checkpoint, data, tmp_path, asked):
    with pytest.raises(AerieError, match="no benchmark 'chartqs'; the nearest names are"):
        run(checkpoint, data, tmp_path, "chartqs")
    with pytest.raises(AerieError, match=r"holds the data of none of the 1 benchmarks \(docvqa: no data"):
        run(checkpoint, data, tmp_path, "docvqa")
    with pytest.raises(AerieError, match="folder of benchmark data not found"):
        run(checkpoint, f"{data}/none", tmp_path)
    with pytest.raises(AerieError, match="is no checkpoint"):
        run(data, data, tmp_path)
    with pytest.raises(AerieError, match="unknown precision 'int4'; choose from bf16, fp32"):
        AnswerOptions(precision="int4")
    with pytest.raises(AerieError, match="has no wording 'sung'"):
        run(checkpoint, data, tmp_path, options=replace(OPTIONS, wording="sung"))
    foreign = tmp_path / "tokenizer.json"
    foreign.write_text(ChatTokenizer(train_bpe(["which colour?"] * 9, 300)).to_json())
    with pytest.raises(AerieError, match="name the tokenizer that it was trained with"):
        run(checkpoint, data, tmp_path, tokenizer=str(foreign))
    assert asked == []


def test_settings_tell_what_was_asked_of_whom(checkpoint, data, tmp_path):
    run(checkpoint, data, tmp_path, "mmstar")
    document = json.loads((tmp_path / "mmstar" / "settings.json").read_text())
    assert set(document) == {
        "benchmark", "card", "checkpoint", "generation", "questions", "questions_sha256", "tokenizer",
    }  # fmt: skip
    assert set(document["generation"]) == {"decoding", "device", "dtype", "max_new_tokens", "torch"}
