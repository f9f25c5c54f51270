"""A training stage from outside: torchrun, kills, resume, two processes, and what the user is told."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from stop_after import StopAfter

from data.errors import AerieError
from data.storage import read_manifest
from model.evaluation.predict import Answerer
from model.recipe import load_recipe
from model.training.__main__ import main
from model.training.job import TrainingJob, parse
from model.training.launch import Output
from model.training.metrics import StepMetrics, read_steps
from model.training.progress import TrainingProgress
from model.training.run import train_stage, training_job
from model.training.stage import train

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "import sys; from model.training.run import train_stage; train_stage(*sys.argv[1:])"


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def arguments(run: Path, out: Path, stage: str = "stage_1_5", parent: str = "", recipe: Path | None = None):
    inputs = (run / "packing" / stage, run / "formatting", run / "tokenizer")
    return [str(recipe or run / "recipe.yaml"), "", stage, *map(str, inputs), parent, str(out)]


def steps(out: Path):
    return read_steps((out / "metrics.jsonl").read_bytes())


def wait_for(condition, seconds: float = 90.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)
    return found


def markers(out: Path) -> list[Path]:
    return list(out.glob("checkpoints/*/complete.json"))


def workers(out: Path) -> list[int]:
    """Process ids of the training processes that write to `out`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if f"--out-uri={out}".encode() in words and b"torch.distributed.run" not in words:
            found.append(int(path.parent.name))
    return found


@pytest.fixture(scope="module")
def whole(training_folder, tmp_path_factory):
    """The folder of an uninterrupted run in one process, and its manifest."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        patch.setenv("OMP_NUM_THREADS", "1")
        return out, train_stage(*arguments(training_folder, out))


def test_a_stage_leaves_a_network_its_metrics_and_a_closed_ledger(training_folder, whole):
    out, manifest = whole
    assert manifest == read_manifest(str(out))
    assert set(manifest.attachments) == {"weights", "config", "tokenizer", "recipe", "metrics"}
    assert manifest.rows == 3 * 37
    assert [(count.source, count.rows_in, count.rows_out) for count in manifest.counts] == [("shapes", 37, 37)]
    assert set(manifest.lineage) == {"packing", "formatting", "tokenizer"}
    recipe = load_recipe(str(training_folder / "recipe.yaml"))
    answerer = Answerer.load(recipe, str(out), str(training_folder / "tokenizer"))
    assert 256 < answerer.tokenizer.vocab_size < answerer.model.vocab_size == 400
    assert steps(out)[-1].loss < steps(out)[0].loss


def test_a_finished_stage_is_not_trained_again(training_folder, whole, monkeypatch):
    out, manifest = whole
    monkeypatch.setattr("model.training.run.launch", None)
    assert train_stage(*arguments(training_folder, out)) == manifest
    (out / "manifest.json").unlink()  # killed between the last file and the manifest
    assert train_stage(*arguments(training_folder, out)) == manifest


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the workers in /proc")
@pytest.mark.long
def test_killed_twice_it_ends_as_if_nothing_had_happened(training_folder, whole, tmp_path):
    command = [sys.executable, "-c", SCRIPT, *arguments(training_folder, tmp_path)]
    first = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)
    wait_for(lambda: markers(tmp_path))
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    wait_for(lambda: not workers(tmp_path), 10)  # nothing goes on in the background
    begun = len(markers(tmp_path))
    before = {path.parent.name for path in markers(tmp_path)}

    def kill_a_worker():
        wait_for(lambda: {path.parent.name for path in markers(tmp_path)} - before)
        os.kill(workers(tmp_path)[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    with pytest.raises(AerieError, match="stage_1_5: process 0 was killed by SIGKILL"):
        train_stage(*arguments(training_folder, tmp_path))
    killer.join()
    assert begun
    assert not (tmp_path / "manifest.json").exists()

    train_stage(*arguments(training_folder, tmp_path))
    out, _ = whole
    assert [(s.step, s.packs, s.loss) for s in steps(tmp_path)] == [(s.step, s.packs, s.loss) for s in steps(out)]
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (tmp_path, out))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert read_manifest(str(tmp_path)).sha256() == read_manifest(str(out)).sha256()


def test_two_processes_killed_then_one_then_two_give_the_losses_of_one(training_folder, whole, alone, tmp_path):
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    text = (training_folder / "recipe.yaml").read_text() + "processes: 2\n"
    text = text.replace("packs_per_step: 1\n", "")
    for stage in ("stage_1", "stage_2"):
        text = re.sub(rf"(  {stage}:\n)", r"\1    packs_per_step: 2\n", text)
    recipe.write_text(text)
    given = arguments(training_folder, out, recipe=recipe)

    first = subprocess.Popen([sys.executable, "-c", SCRIPT, *given], cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_for(lambda: markers(out))
    wait_for(lambda: list(out.glob("checkpoints/step-000006-*/*")))  # the next one is being written
    for process in workers(out):
        os.kill(process, signal.SIGKILL)
    first.wait()
    assert {json.loads(path.read_text())["world_size"] for path in markers(out)} == {2}
    assert not (out / "finished.json").exists()

    names = ["recipe_uri", "recipe_sha256", "stage", "packing_uri", "formatting_uri", "tokenizer_uri", "parent_uri"]
    places = dict(zip([*names, "out_uri"], given, strict=True))
    assert not train(training_job(load_recipe(str(recipe)), **places)[0], StopAfter(2))
    assert 1 in {json.loads(path.read_text())["world_size"] for path in markers(out)}

    manifest = train_stage(*given)
    ours, theirs = steps(out), steps(whole[0])
    assert [s.packs for s in ours] == [s.packs for s in theirs]
    assert [s.samples for s in ours] == [s.samples for s in theirs]
    assert [s.loss for s in ours] == pytest.approx([s.loss for s in theirs], rel=1e-5)
    assert manifest.fingerprint == whole[1].fingerprint


def test_sigterm_saves_and_says_so(training_folder, tmp_path):
    command = [sys.executable, "-c", SCRIPT, *arguments(training_folder, tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    wait_for(lambda: markers(tmp_path))
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert "stage_1_5 was asked to stop and saved a checkpoint" in errors
    saved = max(json.loads(path.read_text())["step"] for path in markers(tmp_path))
    assert saved == len(steps(tmp_path))


def test_a_workers_mistake_reaches_the_user_as_one_line(training_folder, whole, tmp_path, monkeypatch, capfd):
    broken = tmp_path / "recipe.yaml"
    broken.write_text((training_folder / "recipe.yaml").read_text())
    job = TrainingJob(
        stage="stage_2",
        recipe_uri=str(broken),
        recipe_sha256="",
        packing_uri=str(training_folder / "packing/stage_1"),
        formatting_uri=str(training_folder / "formatting"),
        tokenizer_uri=str(training_folder / "tokenizer"),
        parent_uri="",
        out_uri=str(tmp_path),
        fingerprint="f",
    )
    monkeypatch.setattr(sys, "argv", ["model.training", *job.arguments()])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert main() == 1
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        torch.use_deterministic_algorithms(False)
    output = Output("stage_2")
    output.read(capfd.readouterr().out.splitlines())
    assert "holds the packs of 'packing/stage_1', not of 'stage_2'" in output.explain(1)
    assert "Traceback" not in output.explain(1)


def test_torchruns_long_report_of_a_dead_worker_is_not_shown(capsys):
    output = Output("stage_1")
    output.read(
        [
            "stage_1  step 3/9  loss 1.0",
            "E1124 02:34:01 18630 torch/x.py:1002] failed (exitcode: -9) local_rank: 1 (pid: 7) of x",
            "Traceback (most recent call last):",
            '  File "<frozen runpy>", line 198, in _run_module_as_main',
        ]
    )
    assert capsys.readouterr().out == "stage_1  step 3/9  loss 1.0\n"
    assert "process 1 was killed by SIGKILL (often: out of memory)" in output.explain(1)


def test_an_unexplained_end_shows_the_last_lines():
    output = Output("stage_1")
    output.read(["no space left on device"])
    assert output.explain(2).endswith("no space left on device")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": "stage_3"}, "unknown stage 'stage_3'"),
        ({"packing": "nowhere"}, "no manifest at nowhere"),
        ({"parent": "whole"}, None),
    ],
)
def test_wrong_inputs_are_named(training_folder, whole, tmp_path, change, message):
    values = arguments(training_folder, tmp_path)
    values[2] = change.get("stage", values[2])
    values[3] = change.get("packing", values[3])
    if "parent" in change:  # a parent that spoke other tokens
        document = json.loads((whole[0] / "manifest.json").read_text())
        document["lineage"]["tokenizer"] = "another"
        (tmp_path / "parent").mkdir()
        (tmp_path / "parent/manifest.json").write_text(json.dumps(document))
        values[6], message = str(tmp_path / "parent"), "was trained with another tokenizer"
    with pytest.raises(AerieError, match=message):
        train_stage(*values)


def test_a_job_survives_the_command_line():
    fields = {field.name: f"-{field.name} =x" for field in dataclasses.fields(TrainingJob)}
    job = TrainingJob(**{**fields, "stage": "stage_1", "parent_uri": ""})
    assert parse([*job.arguments(), "--watch-stdin"]) == (job, True)


def test_a_stage_by_hand_needs_recipe_packs_and_output(tmp_path, capsys):
    told = ["stage_2", "--recipe", "r.yaml", "--data", "s3://b/run/packing/stage_2/manifest.json", "--out", "o"]
    job, watch = parse([*told, "--parent", "s3://b/run/stage_1_5"])
    assert (job.packing_uri, job.formatting_uri) == ("s3://b/run/packing/stage_2", "s3://b/run/formatting")
    assert (job.tokenizer_uri, job.parent_uri) == ("s3://b/run/tokenizer", "s3://b/run/stage_1_5")
    assert (job.fingerprint, job.recipe_sha256, watch) == ("", "", False)
    with pytest.raises(SystemExit):
        parse(["stage_2", "--recipe", "r.yaml", "--data", "elsewhere", "--out", "o"])
    assert "elsewhere isn't RUN/packing/stage_2: add --formatting-uri" in capsys.readouterr().err


def test_a_stage_by_hand_is_the_one_that_train_stage_trains(training_folder, whole, tmp_path):
    data = training_folder / "packing/stage_1_5/manifest.json"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "-m", "model.training", "stage_1_5"]
    command += ["--recipe", str(training_folder / "recipe.yaml"), "--data", str(data), "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert read_manifest(str(tmp_path)).sha256() == whole[1].sha256()


def test_progress_says_what_matters_at_most_every_two_seconds(capsys):
    now = [0.0]
    progress = TrainingProgress("stage_1", 250, clock=lambda: now[0])
    for number in range(1, 251):
        now[0] += 0.1
        step = StepMetrics(
            step=number, loss=0.81234, learning_rate=9.8e-4, tokens=1000, samples=4, grad_norm=1.0, seconds=0.1,
            packs=(0, 0),
        )  # fmt: skip
        progress.update(step)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) in (11, 12)
    usual = r"stage_1  step \d+/250  loss 0.8123  lr 9.8e-04  10,000 tokens/s  40.0 samples/s"
    assert re.fullmatch(rf"{usual}  ETA \d+ s", lines[0])
    now[0] += 3
    progress.update(dataclasses.replace(step, step=249, mfu=0.5234, wait_share=0.051))
    progress.close(dataclasses.replace(step, step=250, loss=None))
    late, last = capsys.readouterr().out.splitlines()
    assert late.endswith("  MFU 0.52  waits 5% for data  ETA 0 s")
    assert "step 250/250  loss not finite" in last
