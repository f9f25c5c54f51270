"""The whole DAG in miniature through the command line, as a user runs it: result, resume, kill and resume."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from data.storage import read_manifest
from pipelines.cli import app
from pipelines.console import read_marks

ROOT = Path(__file__).resolve().parents[2]
MINI = ROOT / "pipelines/recipes/mini.yaml"
STAGES = ("stage_1", "stage_1_5", "stage_2")
# One set of processes at a time: the tests of this file share a run, and two at once would starve each other.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("end-to-end")]


def aerie(*arguments):
    command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process):
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(run folder, output) of an uninterrupted run."""
    storage = tmp_path_factory.mktemp("whole")
    output = finish(aerie("run", "--recipe", MINI, "--storage", storage, "--name", "run"))
    return storage / "run", output


def manifests(run):
    """Manifest by step; the report's is left out, it holds times."""
    folders = sorted(path.parent for path in run.rglob("manifest.json"))
    return {str(folder.relative_to(run)): read_manifest(str(folder)) for folder in folders if folder.name != "report"}


def times(run):
    return {path: path.stat().st_mtime_ns for path in run.rglob("manifest.json")}


def test_every_step_is_committed_and_the_ledger_closes_from_source_to_training(whole):
    run, _ = whole
    found = manifests(run)
    assert {f"packing/{stage}" for stage in STAGES} | set(STAGES) <= set(found)
    chain = ["validation", "gate", "filtering", "selection", "augmentation", "formatting"]
    flow = {c.source: c.rows_out for name, m in found.items() if name.startswith("sourcing/") for c in m.counts}
    assert len(flow) == 6
    for step in chain:
        counts = {count.source: count for count in found[step].counts}
        assert {source: count.rows_in for source, count in counts.items()} == flow, step
        assert not any(count.gap() for count in counts.values())
        flow = {source: count.rows_out for source, count in counts.items()}
    assert sum(flow.values()) == found["formatting"].rows


def test_the_user_sees_steps_results_and_the_report(whole):
    run, output = whole
    page = Path(output.rsplit("Report: ", 1)[1].strip())
    assert page.read_text().lower().startswith("<!doctype html>")
    assert json.loads((run / "report/summary.json").read_text())
    marks = read_marks(next((run / "logs").glob("*.log")))
    assert sum(mark["event"] == "end" for mark in marks) == 6 + 8 + 1 + 9 + 4
    assert "[28/28] acceptance: done" in output
    assert "KFP Executor" not in output
    assert "Traceback" not in output


def test_a_resume_repeats_nothing_and_report_is_written_anew(whole):
    run, _ = whole
    before = times(run)
    output = finish(aerie("run", "--resume", run))
    after = times(run)
    assert {path: stamp for path, stamp in after.items() if before[path] != stamp} == {}
    assert output.count("finished before, kept") >= 24
    result = CliRunner().invoke(app, ["report", str(run)])
    assert result.exit_code == 0, result.output


def test_a_checkpoint_below_its_minimum_is_refused_after_the_report_is_written(whole, tmp_path):
    """The run once more with a recipe that asks too much: every step is kept, but the gate's."""
    run, _ = whole
    assert [path.name for path in (run.parent / "registry/mini").glob("*.json")] == ["000001.json"]
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    recipe = yaml.safe_load((copy / "recipe.yaml").read_text())
    recipe["promotion"] = {"sources": {"easy-vqa": {"require": 1.0}}}
    (copy / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    process = aerie("run", "--resume", copy)
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 2, output
    assert "Error: acceptance: the checkpoint of stage_2 is not accepted as mini" in output
    assert re.search(r"source easy-vqa: the score is [\d.]+ %, at least 100\.0 % is required", output)
    assert f"See {copy}/report/index.html" in output
    assert ">refused<" in (copy / "report/index.html").read_text()
    assert not (tmp_path / "registry").exists()


@pytest.mark.long
def test_a_killed_run_resumes_to_the_same_result(whole, tmp_path):
    run, _ = whole
    process = aerie("run", "--recipe", MINI, "--storage", tmp_path, "--name", "run")
    killed = tmp_path / "run"
    # In the middle of training: stage 1.5 has a complete checkpoint and is not done.
    deadline = time.monotonic() + 300
    while not list(killed.glob("stage_1_5/checkpoints/*/complete.json")):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert (killed / "stage_1/manifest.json").exists()
    assert not (killed / "stage_1_5/manifest.json").exists()
    finished = times(killed)

    assert "stage_1_5  resumed after step" in finish(aerie("run", "--resume", killed))
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in finished.items())
    expected = {step: manifest.sha256() for step, manifest in manifests(run).items()}
    assert {step: manifest.sha256() for step, manifest in manifests(killed).items()} == expected
