"""Checkpoints: complete or ignored, kept within limits, and a resume that changes nothing."""

import dataclasses
import json
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from stop_after import StopAfter

from data.errors import AerieError
from model.checkpoint import load_model, save_checkpoint
from model.training.checkpoints.checkpoint_folder import CheckpointFolder, Marker
from model.training.checkpoints.rank_files import RankRecord, await_records, record_name
from model.training.job import TrainingJob
from model.training.metrics import read_steps
from model.training.stage import train
from model.training.stopping import StopRequest

STAGE = "stage_1_5"


@pytest.fixture(autouse=True)
def _quiet_and_exact(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def job(run: Path, out: Path, *, fingerprint: str = "mine", recipe: Path | None = None) -> TrainingJob:
    return TrainingJob(
        stage=STAGE,
        recipe_uri=str(recipe or run / "recipe.yaml"),
        recipe_sha256="",
        packing_uri=str(run / "packing" / STAGE),
        formatting_uri=str(run / "formatting"),
        tokenizer_uri=str(run / "tokenizer"),
        parent_uri="",
        out_uri=str(out),
        fingerprint=fingerprint,
    )


def steps(out: Path):
    return read_steps((out / "metrics.jsonl").read_bytes())


@pytest.fixture(scope="module")
def whole(training_folder, alone, tmp_path_factory):
    """The folder of an uninterrupted run."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        assert train(job(training_folder, out), StopRequest())
    return out


def test_a_stopped_run_goes_on_exactly_where_it_was(training_folder, alone, whole, tmp_path, capsys):
    asked = StopAfter(5)
    assert not train(job(training_folder, tmp_path), asked)
    assert len(steps(tmp_path)) == 5
    assert not (tmp_path / "model.safetensors").exists()
    assert train(job(training_folder, tmp_path), StopRequest())
    assert "resumed after step 5/" in capsys.readouterr().out
    numbers = [(s.step, s.packs, s.loss, s.grad_norm, s.tokens, s.samples) for s in steps(tmp_path)]
    assert numbers == [(s.step, s.packs, s.loss, s.grad_norm, s.tokens, s.samples) for s in steps(whole)]
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (tmp_path, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_every_pack_is_trained_once_in_order(whole):
    rows = steps(whole)
    assert [row.packs[0] for row in rows] == [2 * i for i in range(len(rows))]
    assert sum(row.samples for row in rows) == 3 * 37
    assert rows[-1].loss < 0.7 * rows[0].loss


def test_the_last_complete_ones_are_kept(whole):
    kept = sorted(path.parent.name for path in whole.glob("checkpoints/*/complete.json"))
    last = len(steps(whole)) - 1  # the end of a stage needs no checkpoint: its weights are the result
    newest = last // 3 * 3
    assert kept == [f"step-{newest - 3:06d}-mine", f"step-{newest:06d}-mine"]
    assert sorted(path.name for path in whole.glob("checkpoints/step-*")) == kept
    marker = json.loads((whole / "checkpoints" / kept[-1] / "complete.json").read_text())
    assert (marker["step"], marker["next_pack"], marker["world_size"]) == (newest, 2 * newest, 1)
    weights = load_file(whole / "model.safetensors")  # everything trains: all of it is held
    assert marker["parameters"] == {name: value.numel() for name, value in weights.items()}


def marker(step: int, fingerprint: str = "mine", **changes) -> Marker:
    fields = {"step": step, "next_pack": 2 * step, "world_size": 1, "attempt": "a1", "parameters": {}}
    return Marker(**{**fields, "fingerprint": fingerprint, **changes})


def test_incomplete_and_foreign_checkpoints_are_named_and_left_alone(tmp_path, capsys):
    folder = CheckpointFolder(str(tmp_path), "mine", keep=1, label=STAGE)
    for made in (marker(3), marker(6, "other"), marker(2, "other"), marker(7)):
        folder.complete(made, b"")
    (tmp_path / marker(9).name).mkdir()
    torn = tmp_path / marker(8).name
    torn.mkdir()
    (torn / "complete.json").write_text('{"step": 8, "next')
    assert folder.latest() == marker(7)
    said = capsys.readouterr().out
    assert f"{STAGE}  checkpoint step-000009-mine is incomplete: not used" in said
    assert f"{STAGE}  checkpoint step-000008-mine is incomplete: not used" in said
    assert f"{STAGE}  checkpoint step-000006-other belongs to other settings or inputs: not used" in said
    folder.complete(marker(10), b"")
    left = ["step-000002-other", "step-000006-other", "step-000008-mine", "step-000009-mine", "step-000010-mine"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_a_save_that_fails_stops_training_and_says_why(training_folder, alone, tmp_path):
    (tmp_path / "checkpoints").write_text("a file, where the folder of the checkpoints should be")
    with pytest.raises(AerieError, match=r"checkpoints/step-000003-mine could not be written: .*older ones"):
        train(job(training_folder, tmp_path), StopRequest())


def test_damage_to_a_checkpoint_is_named(training_folder, alone, tmp_path):
    assert not train(job(training_folder, tmp_path), StopAfter(1))
    folder = tmp_path / "checkpoints/step-000001-mine"
    record = (folder / "rank-00000.json").read_bytes()
    (folder / "rank-00000.json").write_bytes(record[:-9])
    with pytest.raises(AerieError, match=r"rank-00000.json is missing or of another attempt"):
        train(job(training_folder, tmp_path), StopRequest())
    (folder / "rank-00000.json").write_bytes(record)
    document = json.loads((folder / "complete.json").read_bytes())
    document["parameters"]["connector.1.weight"] += 1
    (folder / "complete.json").write_text(json.dumps(document))
    with pytest.raises(AerieError, match=r"elements of connector.1.weight, this stage trains .*: another version"):
        train(job(training_folder, tmp_path), StopRequest())


def test_rank_0_waits_for_the_others_records_of_the_same_attempt(tmp_path):
    record = RankRecord(attempt="old", nbytes=5, counters={}, random={}, pieces=())
    (tmp_path / record_name(1)).write_bytes(record.to_json())
    with pytest.raises(AerieError, match=r"process 1 has not written .* a folder that all nodes see"):
        await_records(str(tmp_path), [1], "new", patience=0.1)
    fresh = dataclasses.replace(record, attempt="new")
    late = threading.Timer(0.2, lambda: (tmp_path / record_name(1)).write_bytes(fresh.to_json()))
    late.start()
    assert await_records(str(tmp_path), [1], "new", patience=60) == 5
    late.join()


def test_a_loss_that_stays_not_finite_stops_training_before_it_is_saved(training_folder, alone, whole, tmp_path):
    parent = load_model(str(whole))
    with torch.no_grad():
        parent.connector[1].weight[0, 0] = float("nan")
    save_checkpoint(str(tmp_path / "parent"), parent)
    broken = dataclasses.replace(job(training_folder, tmp_path / "out"), parent_uri=str(tmp_path / "parent"))
    with pytest.raises(AerieError, match=r"3 steps in a row were skipped.*the loss of packs 4, 5 is nan"):
        train(broken, StopRequest())
    assert not list((tmp_path / "out").glob("checkpoints/*"))
