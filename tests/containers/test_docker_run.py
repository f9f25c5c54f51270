"""The whole pipeline in the built images through KFP's DockerRunner, storage on a real S3 server: the same results.

`make e2e-docker` runs this; it takes minutes and needs a Docker engine with the images of `make images`.
"""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import seaweed
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load

from data.files import join, read_bytes
from data.folders import files_below
from data.storage import read_attachment, read_manifest

ROOT = Path(__file__).resolve().parents[2]
STORAGE = "s3://aerie/runs"
STAGES = ("stage_1", "stage_1_5", "stage_2")
LARGEST_WEIGHT_DIFFERENCE, LARGEST_LOSS_DIFFERENCE = 1e-4, 1e-3
pytestmark = [pytest.mark.docker, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, request):
    """(what the terminal showed by runner); the two runs lie in STORAGE."""
    recipe = ROOT / f"pipelines/recipes/{request.config.getoption('--recipe', 'mini')}.yaml"
    with seaweed.serve(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        server.client().make_bucket("aerie")
        shown = {}
        for runner in ("docker", "subprocess"):
            command = [sys.executable, "-m", "pipelines.cli", "run", "--runner", runner]
            command += ["--recipe", str(recipe), "--storage", STORAGE, "--name", runner]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            print(done.stdout[-3000:])
            assert done.returncode == 0, done.stdout + done.stderr
            shown[runner] = done.stdout + done.stderr
        yield shown


def manifests(runner):
    """Manifest by step; the report's is left out, it holds times, and what compares the second run with the first."""
    names = files_below(join(STORAGE, runner))
    steps = [name.removesuffix("/manifest.json") for name in names if name.endswith("/manifest.json")]
    return {step: read_manifest(join(STORAGE, runner, step)) for step in steps if step not in ("report", "promotion")}


def weights(runner, stage):
    folder = join(STORAGE, runner, stage)
    return load(read_attachment(folder, read_manifest(folder), "weights"))


def losses(runner, stage):
    folder = join(STORAGE, runner, stage)
    lines = read_attachment(folder, read_manifest(folder), "metrics").decode().splitlines()
    return np.array([json.loads(line)["loss"] for line in lines])


def test_every_step_commits_the_same_manifest_up_to_the_float_noise_of_training(runs):
    docker, plain = manifests("docker"), manifests("subprocess")
    assert set(docker) == set(plain)
    equal = {step for step in docker if docker[step].sha256() == plain[step].sha256()}
    table = Table(title="Manifests, containers against processes")
    for column in ("step", "rows", "sha256", ""):
        table.add_column(column)
    for step in docker:
        table.add_row(step, str(docker[step].rows), docker[step].sha256()[:12], "equal" if step in equal else "differs")
    sink = io.StringIO()
    Console(file=sink, width=80).print(table)
    print(sink.getvalue())
    trained = {step for step in docker if step in STAGES or step.startswith("evaluation/")}
    assert set(docker) - equal <= trained
    for step in trained:
        assert docker[step].rows == plain[step].rows
        assert docker[step].counts == plain[step].counts


@pytest.mark.parametrize("stage", STAGES)
def test_the_stages_agree_but_for_rounding(runs, stage):
    ours, theirs = weights("docker", stage), weights("subprocess", stage)
    assert set(ours) == set(theirs)
    worst = max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)
    gap = float(np.abs(losses("docker", stage) - losses("subprocess", stage)).max())
    print(f"{stage}: largest difference of a weight {worst:.1e}, of a step's loss {gap:.1e}")
    assert worst <= LARGEST_WEIGHT_DIFFERENCE
    assert gap <= LARGEST_LOSS_DIFFERENCE


def test_keys_of_the_store_stand_nowhere(runs):
    logs = [read_bytes(join(STORAGE, runner, name)) for runner in runs for name in files_below(join(STORAGE, runner))
            if name.startswith("logs/")]  # fmt: skip
    assert len(logs) == len(runs)
    assert all(b"::aerie" in log for log in logs), "everything that the steps printed lies there"
    text = "".join([*runs.values(), *(log.decode() for log in logs)])
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in text
    assert os.environ["AWS_ACCESS_KEY_ID"] not in text


@pytest.mark.parametrize("image", ["data:0.1.0", "eval:0.1.0", "train:0.1.0", "train:0.1.0-local"])
def test_no_image_runs_as_root_and_each_carries_its_bill_of_materials(image):
    command = 'id -u; python -c \'import json; print(len(json.load(open("/opt/aerie/sbom.cdx.json"))["components"]))\''
    run = ["docker", "run", "--rm", "--network", "none", f"localhost/aerie-python-{image}", "sh", "-c", command]
    uid, parts = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    assert uid == "10001"
    assert int(parts) > 50


def test_the_trainjobs_image_has_no_kfp_and_the_launchers_no_deepspeed():
    for image, absent in (("train:0.1.0", "kfp"), ("eval:0.1.0", "deepspeed"), ("data:0.1.0", "deepspeed")):
        code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({absent!r}) is not None)"
        run = ["docker", "run", "--rm", "--network", "none", f"localhost/aerie-python-{image}", "python", "-c", code]
        assert subprocess.run(run, check=False).returncode == 0, f"{image} holds {absent}"
