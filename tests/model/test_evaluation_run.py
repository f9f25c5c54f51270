"""The evaluation step on a run folder: what is asked, what is stored, what is repeated."""

import json
from pathlib import Path

import pytest
import yaml
from evaluation_files import COLOURS, DOCUMENT, RunFiles, write_checkpoint
from kill_answers import check_tries, files_of, see

from data.errors import AerieError
from data.storage import read_attachment, read_manifest
from model.evaluation.predictions import read_predictions
from model.evaluation.run import evaluate_checkpoint
from model.steps import train_tokenizer
from model.tensor_files import WEIGHTS_FILE


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> RunFiles:
    return RunFiles(tmp_path_factory.mktemp("run"))


def test_the_last_stage_asks_everything_and_the_images_once_more_blinded(files):
    out, manifest = files.evaluate("stage_2")
    predictions = read_predictions(out, manifest)
    assert [p.blind for p in predictions] == [False] * (3 * 2 + 4) + [True] * (3 * 2)
    assert {p.source for p in predictions if p.blind} == {"shapes"}
    assert {p.checkpoint for p in predictions} == {read_manifest(files.checkpoint).sha256()}
    colours = [p for p in predictions if p.task == "color" and not p.blind]
    assert [p.answer for p in colours] == list(COLOURS)
    assert {p.majority for p in predictions if p.source == "talk"} == {"fine"}
    scores = json.loads(read_attachment(out, manifest, "scores"))
    assert (scores["questions"], scores["blind_questions"], scores["max_samples_per_source"]) == (10, 6, None)
    assert scores["headline"]["talk"]["majority"] == 1.0
    assert {count.source: (count.rows_in, count.rows_out) for count in manifest.counts} == {
        "shapes": (6, 6),
        "talk": (4, 4),
    }


def test_an_early_stage_asks_a_capped_sample_and_the_ledger_says_so(files):
    out, manifest = files.evaluate("stage_1")
    predictions = read_predictions(out, manifest)
    assert len(predictions) == 2 * 2 + 2
    assert not any(p.blind for p in predictions)
    shapes, talks = manifest.counts
    assert (shapes.rows_in, shapes.rows_out, shapes.dropped) == (6, 4, {"early_stage_cap": 2})
    assert (talks.rows_in, talks.rows_out, talks.dropped) == (4, 2, {"early_stage_cap": 2})


def test_a_finished_evaluation_is_kept_and_another_checkpoint_is_asked_anew(files, capsys):
    out, first = files.evaluate("stage_1_5")
    capsys.readouterr()
    assert files.evaluate("stage_1_5")[1] == first
    assert capsys.readouterr().out == ""
    other = str(files.folder / "other")
    write_checkpoint(other, files.recipe, files.tokenizer, seed=2)
    assert files.evaluate("stage_1_5", other)[1].fingerprint != first.fingerprint
    assert {p.checkpoint for p in read_predictions(out, read_manifest(out))} == {read_manifest(other).sha256()}


def test_a_step_that_is_killed_asks_only_the_rest_and_ends_as_one_that_was_not(files, tmp_path):
    inputs = {name: getattr(files, name) for name in ("recipe", "checkpoint", "formatting", "tokenizer")}
    seen = see(tmp_path, **inputs)
    check_tries(seen["tries"], 10 + 6)
    assert sum(bool(one["stored"]) for one in seen["tries"]) > 3
    assert set(files_of(seen["whole"])) == {"manifest.json", "predictions.parquet", "scores.json"}
    ended = {name: data for name, data in files_of(seen["killed"]).items() if not name.startswith("answered/")}
    assert ended == files_of(seen["whole"])


def test_answers_so_far_of_another_checkpoint_are_not_taken(files, tmp_path, monkeypatch):
    other, out = str(files.folder / "third"), str(tmp_path / "out")
    write_checkpoint(other, files.recipe, files.tokenizer, seed=3)
    inputs = (files.formatting, files.tokenizer, out)
    with monkeypatch.context() as patch:
        patch.setattr("model.evaluation.run.scores_document", interrupted)  # all is answered, nothing committed
        with pytest.raises(KeyboardInterrupt):
            evaluate_checkpoint(files.recipe, "", "stage_1", files.checkpoint, *inputs)
    assert list(Path(out, "answered").glob("shard-*"))
    manifest = evaluate_checkpoint(files.recipe, "", "stage_1", other, *inputs)
    assert {p.checkpoint for p in read_predictions(out, manifest)} == {read_manifest(other).sha256()}
    assert not Path(out, "answered").exists()


def interrupted(*_):
    raise KeyboardInterrupt


def test_an_unknown_stage_and_a_foreign_tokenizer_are_named(files, tmp_path):
    with pytest.raises(AerieError, match="unknown stage 'stage_3'"):
        files.evaluate("stage_3")
    document = {**DOCUMENT, "model": {**DOCUMENT["model"], "tokenizer": {"vocab_size": 300}}}
    recipe, foreign = tmp_path / "recipe.yaml", tmp_path / "tokenizer"
    recipe.write_text(yaml.safe_dump(document, sort_keys=False))
    train_tokenizer(str(recipe), "", files.formatting, str(foreign))
    with pytest.raises(AerieError, match="evaluate with the tokenizer of the run that trained it"):
        evaluate_checkpoint(
            files.recipe, "", "stage_2", files.checkpoint, files.formatting, str(foreign), str(tmp_path / "out")
        )


def test_damaged_weights_are_named(files, tmp_path):
    damaged = str(tmp_path / "damaged")
    write_checkpoint(damaged, files.recipe, files.tokenizer)
    weights = Path(damaged, WEIGHTS_FILE)
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(AerieError, match=r"model\.safetensors"):
        files.evaluate("stage_2", damaged)
