"""W&B offline for real: the run's own file holds the steps. Without a network nothing but a line is lost."""

import sys
from pathlib import Path

import pytest

from model.training.metrics import StepMetrics
from model.training.wandb_run import WandbRun, curve_values

pytest.importorskip("wandb")
STEP = StepMetrics(
    step=7, loss=1.25, learning_rate=1e-3, tokens=50, samples=5, grad_norm=2.0, packs=(0, 1), seconds=0.5,
    category_losses={"chart_table": 0.75},
)  # fmt: skip


def test_each_number_is_a_curve():
    values = curve_values(STEP)
    assert (values["loss"], values["loss/chart_table"], values["tokens_per_second"]) == (1.25, 0.75, 100.0)
    assert "mfu" not in values
    assert all(isinstance(value, int | float) for value in values.values())


def test_offline_is_the_default_and_leaves_a_run_with_the_curves(tmp_path, monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    run = WandbRun("stage_1", "tiny", str(tmp_path), {"capacity": 1024})
    run.log(STEP)
    run.close()
    [file] = Path(tmp_path).glob("wandb/offline-run-*/run-*.wandb")
    written = file.read_bytes()
    assert all(text in written for text in (b"tiny-stage_1", b"capacity", b"loss/chart_table", b"1.25"))


def test_with_a_key_it_goes_online(monkeypatch, tmp_path):
    import wandb

    asked = []
    monkeypatch.setattr(wandb, "init", lambda **settings: asked.append(settings["mode"]))
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    for mode in ("", "offline", "online"):
        monkeypatch.setenv("WANDB_MODE", mode)
        WandbRun("stage_1", "tiny", str(tmp_path), {})
    assert asked == ["online", "offline", "online"]


def test_a_network_that_fails_is_one_line(monkeypatch, tmp_path, capsys):
    import wandb

    def refuse(**_):
        raise wandb.errors.CommError("no route")

    monkeypatch.setattr(wandb, "init", refuse)
    monkeypatch.setenv("WANDB_MODE", "online")
    run = WandbRun("stage_1", "tiny", str(tmp_path), {})
    run.log(STEP)
    run.close()
    assert capsys.readouterr().out == "stage_1  W&B can't be reached (no route): metrics go to metrics.jsonl only\n"


def test_without_the_package_nothing_is_lost_but_wandb(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setenv("WANDB_MODE", "offline")
    WandbRun("stage_1", "tiny", str(tmp_path), {}).log(STEP)
    assert "wandb is not installed" in capsys.readouterr().out
