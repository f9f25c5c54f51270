"""Checkpoints: complete or ignored, kept within limits, and a resume that changes nothing."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from data.errors import AerieError
from model.checkpoint import load_model, save_checkpoint
from model.training.checkpointing import Checkpoints
from model.training.job import TrainingJob
from model.training.stage import train
from model.training.metrics import read_steps
from model.training.stopping import StopRequest

STAGE = "stage_1_5"


@pytest.fixture(autouse=True)
def _quiet_and_exact(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


class StopAfter(StopRequest):
    """Asks to stop as SIGTERM would, once the loop has looked `looks` times."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def requested(self) -> bool:
        self.looks -= 1
        return self.looks <= 0


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
    assert kept == [f"step-{newest - 3:06d}", f"step-{newest:06d}"]
    assert sorted(path.name for path in whole.glob("checkpoints/step-*")) == kept
    marker = json.loads((whole / "checkpoints" / kept[-1] / "complete.json").read_text())
    assert marker == {"step": newest, "next_pack": 2 * newest, "world_size": 1, "fingerprint": "mine"}


def test_incomplete_and_foreign_checkpoints_are_named_and_left_alone(whole, tmp_path, capsys):
    for step, fingerprint in ((3, "mine"), (6, "other"), (9, None)):
        folder = tmp_path / f"step-{step:06d}"
        folder.mkdir()
        if fingerprint:
            marker = {"step": step, "next_pack": 2 * step, "world_size": 1, "fingerprint": fingerprint}
            (folder / "complete.json").write_text(json.dumps(marker))
    found = Checkpoints(str(tmp_path), "mine", keep=2, label=STAGE).latest()
    assert found is not None
    assert found.step == 3
    said = capsys.readouterr().out
    assert f"{STAGE}  checkpoint step-000009 is incomplete: not used" in said
    assert f"{STAGE}  checkpoint step-000006 belongs to other settings or inputs: not used" in said
    assert len(list(tmp_path.iterdir())) == 3


def test_a_truncated_marker_is_no_marker(tmp_path):
    (tmp_path / "step-000003").mkdir()
    (tmp_path / "step-000003/complete.json").write_text('{"step": 3, "next')
    assert Checkpoints(str(tmp_path), "mine", keep=2, label=STAGE).latest() is None


def test_another_number_of_processes_is_refused_with_a_way_out(training_folder, alone, tmp_path):
    assert not train(job(training_folder, tmp_path), StopAfter(1))
    path = tmp_path / "checkpoints/step-000001/complete.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "world_size": 4}))
    with pytest.raises(AerieError, match=r"written by 4 processes.*to 4, or remove"):
        train(job(training_folder, tmp_path), StopRequest())


def test_a_loss_that_is_not_finite_stops_training(training_folder, alone, whole, tmp_path):
    parent = load_model(str(whole))
    with torch.no_grad():
        parent.connector[1].weight[0, 0] = float("nan")
    save_checkpoint(str(tmp_path / "parent"), parent)
    broken = dataclasses.replace(job(training_folder, tmp_path / "out"), parent_uri=str(tmp_path / "parent"))
    with pytest.raises(AerieError, match=r"step 1 \(packs 0 to 1\): the loss is nan"):
        train(broken, StopRequest())
    assert not list((tmp_path / "out").glob("checkpoints/*"))
