"""Keys in the environment never reach a log, a report, an error file or an exception, above all when things fail."""

import io
import logging
import sys
import traceback
from pathlib import Path

import pytest

from components.door import open_door
from data import object_client
from data.errors import AerieError
from data.files import join, read_bytes, write_bytes
from data.folders import files_below
from data.steps import filter_samples, source_samples
from model.training.__main__ import main
from model.training.job import TrainingJob
from model.training.metrics import StepMetrics
from model.training.wandb_run import WandbRun

RECIPE = str(Path(__file__).resolve().parents[2] / "pipelines/recipes/mini.yaml")
PLANTED = {
    "AWS_ACCESS_KEY_ID": "planted-access-key-0001",
    "AWS_SECRET_ACCESS_KEY": "planted-secret-key-0002",
    "AWS_SESSION_TOKEN": "planted-session-token-0003",
    "WANDB_API_KEY": "planted" + "0004" * 10,
    "KFP_API_TOKEN": "planted-api-token-0005",
}
QUICK = object_client.Patience(connect=2.0, read=1.0, first_pause=0.002, longest_pause=0.02)
pytestmark = pytest.mark.xdist_group("s3")


@pytest.fixture
def logged():
    """Everything that any library logs, down to DEBUG, with tracebacks."""
    sink, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(sink), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield sink
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def planted(monkeypatch):
    """The keys of a user in the environment; what a test checks afterwards must be free of them."""
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(object_client, "PATIENCE", QUICK)

    def free_of_secrets(*texts: str) -> bool:
        assert any(texts)
        return not [name for name, value in PLANTED.items() for text in texts if value in text]

    return free_of_secrets


def everything_about(error: BaseException) -> str:
    """All that a careless handler could print of an exception and of what led to it."""
    shown = "".join(traceback.format_exception(error))
    while error is not None:
        shown += f"{error!s} {error!r} {error.args!r}"
        error = error.__cause__ or error.__context__
    return shown


@pytest.mark.parametrize("trouble", ["refused", "away", "failing", "misspelt"])
def test_a_step_whose_storage_fails(planted, faulty_proxy, monkeypatch, logged, capfd, trouble):
    """`refused`: the server knows no such keys. `misspelt`: keys stand in the endpoint."""
    endpoints = {"away": "http://127.0.0.1:1", "misspelt": f"http://u:{PLANTED['AWS_SECRET_ACCESS_KEY']}@127.0.0.1:1"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoints.get(trouble, faulty_proxy.url))
    faulty_proxy.reset(rates={"internal_error": 1.0} if trouble == "failing" else None)
    with pytest.raises(SystemExit) as stop, open_door("sourcing/text-lines", "s3://aerie-tests", "run") as door:
        source_samples(RECIPE, "", "text-lines", door.out)
    shown = "".join(capfd.readouterr())
    assert "AWS_" in shown or "the store" in shown
    assert planted(shown, everything_about(stop.value))
    assert planted("log: " + logged.getvalue())


def test_an_error_file_in_storage_that_works(planted, tmp_path, capfd, logged):
    """The step fails because its input, in a bucket, can't be read; the error file lies on a local disk."""
    with pytest.raises(SystemExit), open_door("filtering", str(tmp_path), "run") as door:
        filter_samples(RECIPE, "", "s3://bucket/gate", door.out)
    written = [read_bytes(join(str(tmp_path), name)).decode() for name in files_below(str(tmp_path))]
    assert "s3://bucket/gate" in "".join(written)
    assert planted(*written, *capfd.readouterr(), logged.getvalue())


def test_a_training_process_whose_storage_fails(planted, tmp_path, monkeypatch, capfd, s3_server):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.url)
    names = ("recipe_uri", "packing_uri", "formatting_uri", "tokenizer_uri", "out_uri")
    places = {name: f"s3://aerie-tests/{name}" for name in names} | {"recipe_sha256": "", "parent_uri": ""}
    job = TrainingJob(stage="stage_1", fingerprint="f", **places)
    monkeypatch.setattr(sys, "argv", ["model.training", *job.arguments()])
    monkeypatch.setattr("model.training.__main__.StopRequest.listen", lambda _: None)
    assert main() == 1
    shown = capfd.readouterr()
    assert "refuses the keys" in shown.out
    assert planted(*shown)


def test_exceptions_of_every_operation(planted, s3_server, s3_uri, monkeypatch, logged):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, PLANTED[name])
    for operation in (read_bytes, files_below, lambda uri: write_bytes(uri, b"x")):
        with pytest.raises(AerieError) as raised:
            operation(join(s3_uri, "file"))
        assert planted(everything_about(raised.value))
    assert planted("log: " + logged.getvalue())


def test_files_of_an_offline_wandb_run(planted, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = WandbRun("stage_1", "mini", str(tmp_path), {"capacity": 1024})
    values = {"loss": 1.0, "learning_rate": 1e-3, "tokens": 5, "samples": 1, "grad_norm": 1.0, "seconds": 0.1}
    run.log(StepMetrics(step=1, packs=(0, 1), **values))
    run.close()
    names = files_below(str(tmp_path))
    assert any(name.endswith(".wandb") for name in names)
    written = [(tmp_path / name).read_bytes().decode(errors="replace") for name in names]
    assert planted(*written, *capfd.readouterr())
