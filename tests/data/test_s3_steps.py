"""Every step from sourcing to the report writes to a bucket through faults and kills: a reader sees all or nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import s3_proxy

from data.files import join, read_bytes
from data.folders import files_below

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tests/servers/s3_lab.py"
RECIPE = ROOT / "pipelines/recipes/mini.yaml"
PLANTED = {"WANDB_API_KEY": "planted-wandb-key-0001", "KFP_API_TOKEN": "planted-api-token-0002"}
PLANTED |= {"HF_TOKEN": "planted-hub-token-0003"}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.xdist_group("s3")]


@pytest.fixture(scope="module")
def seen(s3_server, s3_bucket, tmp_path_factory):
    """What readers saw: of all steps, run locally and through faults; of chosen steps, killed or run twice at once."""
    folder = tmp_path_factory.mktemp("lab")
    proxy = s3_proxy.FaultyProxy(s3_server.endpoint)
    environment = {**os.environ, **s3_server.environment(), "AWS_ENDPOINT_URL": proxy.url, "WANDB_MODE": "disabled"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **PLANTED}
    places = (RECIPE, folder / "run", f"s3://{s3_bucket}/lab/run", proxy.url, folder / "seen.json")
    command = [sys.executable, str(PROGRAM), *map(str, places)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    proxy.stop()
    assert done.returncode == 0, done.stdout.decode()[-5000:]
    return {**json.loads((folder / "seen.json").read_text()), "folder": folder, "said": done.stdout}


def test_through_faults_every_step_ends_as_on_a_local_disk(seen):
    assert set(seen["faults"]) == set(s3_proxy.FAULTS)
    assert len(seen["faults"]) > 100
    assert len(seen["local"]) >= 20
    assert all(seen["local"].values())
    assert seen["faulty"] == seen["local"]


def test_killed_at_each_write_a_step_shows_nothing_until_it_shows_everything(seen):
    assert {"validation", "embedding", "formatting", "report"} <= set(seen["killed"])
    for step, outcome in seen["killed"].items():
        *before, last = outcome["seen"]
        assert set(before) <= {""}, step
        assert last in ("", outcome["end"]), step
        assert outcome["end"] == seen["local"][step], step
    assert sum(len(outcome["seen"]) for outcome in seen["killed"].values()) > 60
    assert any(outcome["seen"][-1] for outcome in seen["killed"].values())  # killed when its manifest was just there


def test_a_stage_killed_again_and_again_goes_on_from_its_checkpoints_in_the_bucket(seen):
    for step, outcome in seen["killed_at_random"].items():
        assert len(outcome["seen"]) >= 3, step
        assert set(outcome["seen"]) == {""}, step
        assert outcome["end"] == seen["local"][step], step


def test_two_processes_that_write_the_same_step_at_once_agree(seen):
    assert seen["twice"]
    assert seen["twice"] == {step: seen["local"][step] for step in seen["twice"]}


def test_nothing_that_the_steps_wrote_or_said_holds_a_secret(seen, s3_server, s3_bucket, monkeypatch):
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    written = {"what was said": seen["said"]}
    for folder in (str(seen["folder"]), f"s3://{s3_bucket}/lab"):
        written |= {join(folder, name): read_bytes(join(folder, name)) for name in files_below(folder)}
    assert len(written) > 200
    for secret in (*PLANTED.values(), s3_server.access_key, s3_server.secret_key):
        assert [name for name, payload in written.items() if secret.encode() in payload] == []
