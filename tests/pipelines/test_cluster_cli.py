"""The commands as people type them, against a real KFP-like server and a real S3 server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import kfp_api
import pytest
import seaweed
import yaml
from faulty_http import FaultyServer
from kfp_cases import PARAMETERS, PIPELINE, RUN_ID, SYNCED, TOKEN, graph, release_of, run
from typer.testing import CliRunner

from model.recipe import load_recipe
from pipelines.claims import Claims
from pipelines.cli import app
from pipelines.release import RELEASE_NAME

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "pipelines/recipes/mini.yaml"
POD = "aerie-end-to-end-x7k2p"


@pytest.fixture(scope="module")
def kfp():
    with FaultyServer(kfp_api.__file__) as server:
        yield server


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with seaweed.serve(tmp_path_factory.mktemp("seaweed")) as server:
        server.client().make_bucket("aerie")
        yield server


@pytest.fixture
def environment(kfp, tmp_path, monkeypatch):
    """What a hook Job's pod has, and nothing of this machine's."""
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setenv("AERIE_KFP_ENDPOINT", kfp.url)
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("AERIE_KFP_UI", "AERIE_NAMESPACE", "AERIE_STORAGE_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def storage(environment, store, monkeypatch, request):
    """A prefix of its own in the bucket."""
    for name, value in store.environment().items():
        monkeypatch.setenv(name, value)
    uri = f"s3://aerie/{request.node.name.partition('[')[0]}"
    monkeypatch.setenv("AERIE_STORAGE_URI", uri)
    return uri


@pytest.fixture
def release(tmp_path):
    """A release folder as the hook Job mounts it."""
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "recipe.yaml").write_bytes(RECIPE.read_bytes())
    (folder / RELEASE_NAME).write_text(release_of(load_recipe(str(RECIPE)).sha256, "d" * 64).to_json())
    return folder


def aerie(*arguments):
    """(exit code, stdout, stderr); an unexpected error is raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def failed_run(kfp, **settings):
    error = {"error": "workflow failed: stage-1"}
    kfp.reset(token=TOKEN, runs=[run()], life=[[0, "FAILED"]], tasks=graph(), **error, **settings)


def test_the_hook_starts_one_run_and_says_which(kfp, storage, release):
    kfp.reset(token=TOKEN, synced=SYNCED)
    code, said, _ = aerie("submit", "--release", release, "--if-changed")
    (row,) = kfp.state()["runs"]
    assert code == 0
    assert said == f"Started {row['display_name']}\nid {row['run_id']}\n{kfp.url}/#/runs/details/{row['run_id']}\n"
    code, said, _ = aerie("submit", "--release", release, "--if-changed")
    assert code == 0
    assert said.startswith(f"Nothing changed, nothing started; PENDING: {row['display_name']}\n")
    assert len(kfp.state()["workflows"]) == 1
    parameters = row["runtime_config"]["parameters"]
    assert parameters["storage_uri"] == storage
    assert parameters["recipe_uri"] == f"{storage}/recipes/{parameters['recipe_sha256']}.yaml"


def test_an_equal_state_asks_for_again(kfp, storage, release):
    kfp.reset(token=TOKEN, synced=SYNCED)
    aerie("submit", "--release", release)
    code, said, problem = aerie("submit", "--release", release)
    (row,) = kfp.state()["runs"]
    assert (code, said) == (2, "")
    assert problem == (
        f"Error: this state has a run already: {row['display_name']}, PENDING\n  {row['run_id']}\n"
        f"  {kfp.url}/#/runs/details/{row['run_id']}\n"
        "Change the recipe or the data, or start another run of it with --again\n"
    )
    assert aerie("submit", "--release", release, "--again")[0] == 0
    assert len({row["run_id"] for row in kfp.state()["runs"]}) == 2


def test_a_laptop_uploads_the_version_and_the_release_is_the_same_state(kfp, storage, tmp_path, monkeypatch):
    """Compiled, uploaded once, submitted; `aerie release` of the same state finds the same run."""
    kfp.reset(token=TOKEN)
    monkeypatch.chdir(tmp_path)
    Path("dvc.lock").write_text("schema: '2.0'\n")
    code, said, problem = aerie("submit", "--recipe", RECIPE)
    assert code == 0, problem
    (row,) = kfp.state()["runs"]
    assert f"Started {row['display_name']}" in said
    assert "Note: the cluster must have the image localhost/aerie-python-data" in said
    assert set(row["runtime_config"]["parameters"]) == set(PARAMETERS)
    assert kfp.state()["pipelines"] == [PIPELINE]
    assert aerie("release", "--recipe", RECIPE, "--out", "release")[0] == 0
    assert kfp.state()["versions"] == [json.loads(Path("release", RELEASE_NAME).read_text())["version"]]
    code, said, _ = aerie("submit", "--release", "release", "--if-changed")
    assert f"nothing started; PENDING: {row['display_name']}" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give either --recipe FILE or --release FOLDER"),
        (("--recipe", RECIPE, "--release", "."), "give either --recipe FILE or --release FOLDER"),
        (("--recipe", RECIPE, "--again", "--if-changed"), "give one of them"),
        (("--recipe", RECIPE, "--storage", "artifacts"), "s3://BUCKET/PREFIX or AERIE_STORAGE_URI, not 'artifacts'"),
        (("--recipe", RECIPE), "not nothing"),
        (("--release", "absent"), "file not found: absent/release.json"),
        (("--recipe", RECIPE, "--endpoint", "localhost:80"), "where is Kubeflow Pipelines?"),
    ],
)
def test_mistakes_of_submit_are_one_message(arguments, says, kfp, environment):
    kfp.reset(token=TOKEN, synced=SYNCED)
    code, said, problem = aerie("submit", *arguments)
    assert (code, said) == (2, "")
    assert says in problem
    assert kfp.state()["runs"] == []


@pytest.mark.parametrize(
    ("state", "code"), [("SUCCEEDED", 0), ("FAILED", 1), ("CANCELED", 1), ("RUNNING", 3), ("PENDING", 3)]
)
def test_status_says_by_its_exit_code_how_it_stands(state, code, kfp, environment):
    kfp.reset(token=TOKEN, runs=[run(state=state)])
    assert aerie("status", RUN_ID)[0] == code


def test_status_shows_tasks_and_errors_in_80_columns(kfp, environment):
    failed_run(kfp)
    code, said, _ = aerie("status", "tiny-0b7c2f0e")
    assert code == 1
    table = [line for line in said.splitlines() if line.startswith(("│", "┃"))]
    assert [line.split("│")[1].strip() for line in table if line.startswith("│")] == [
        "validation",
        "stage-1",
        "stage-2",
    ]
    assert "5 min 50 s" in table[2]
    assert max(map(len, table)) <= 80
    assert "Error: workflow failed: stage-1" in said
    assert "stage-1: Error: stage_1: TrainJob aerie/tiny-stage-1 failed: OOMKilled (exit code 137)" in said


def test_watching_prints_every_change_until_the_end(kfp, environment):
    """No clock is given, so each request takes the server a second."""
    kfp.reset(token=TOKEN, runs=[run(state="PENDING")], life=[[1, "RUNNING"], [2, "SUCCEEDED"]], tasks=graph())
    code, said, _ = aerie("status", RUN_ID, "--watch")
    assert code == 0
    assert "validation SUCCEEDED" in said
    assert "run SUCCEEDED" in said


def test_logs_say_where_they_come_from(kfp, environment):
    failed_run(kfp, logs={f"{POD}-10": "CUDA out of memory\n"})
    code, said, _ = aerie("logs", RUN_ID, "--task", "stage-1")
    assert (code, said) == (0, f"== stage-1 (pod {POD}-10)\nCUDA out of memory\n")


def test_cancelling_twice_is_fine(kfp, environment):
    kfp.reset(token=TOKEN, runs=[run()], cancel_seconds=1)
    assert aerie("cancel", RUN_ID) == (0, "Run tiny-0b7c2f0e has ended: CANCELED\n", "")
    assert aerie("cancel", "tiny-0b7c2f0e") == (0, "Run tiny-0b7c2f0e was over already: CANCELED\n", "")


def test_no_secret_is_ever_shown_or_written(kfp, storage, store, release, tmp_path):
    """Token and S3 key, planted: not in any output, good or bad, not in the storage, not in release files."""
    rule = {"path": "/runs", "status": 403, "message": f"token {TOKEN} and key {store.secret_key} may not"}
    outputs = []
    for refuse in ([], [{**rule, "method": "POST"}], [{**rule, "method": "GET"}]):
        failed_run(kfp, synced=SYNCED, refuse=refuse, logs={f"{POD}-10": f"key={store.secret_key}\n"})
        for command in (
            ("submit", "--release", release, "--again"),
            ("status", RUN_ID),
            ("logs", RUN_ID),
            ("cancel", RUN_ID),
            ("release", "--recipe", RECIPE, "--out", tmp_path / "written"),
        ):
            outputs += aerie(*command)[1:]
    kfp.reset(token="another one")
    outputs += aerie("status", RUN_ID)[1:]
    client = store.client()
    for item in client.list_objects("aerie", storage.removeprefix("s3://aerie/"), recursive=True):
        outputs.append(client.get_object("aerie", item.object_name).read().decode())
    outputs += [path.read_text() for path in (tmp_path / "written").iterdir()]
    assert any("[hidden]" in text for text in outputs)
    assert any("claim" in text for text in outputs)
    shown = "\n".join(outputs)
    for secret in (TOKEN, store.secret_key):
        assert secret not in shown


def test_a_claim_in_a_bucket_is_made_once(storage):
    mine, yours = Claims(storage, RUN_ID), Claims(storage, RUN_ID)
    assert mine.take(1)
    assert not yours.take(1)
    assert not mine.take(1)
    assert yours.take(2)


def test_the_command_itself_fails_with_one_message(kfp, environment):
    kfp.reset(token=TOKEN)
    command = [sys.executable, "-m", "pipelines.cli", "status", "nothing"]
    result = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"Error: no run 'nothing' in namespace aerie of {kfp.url}; "
        "RUN is the id or the name that `aerie submit` prints\n"
    )


def test_render_prints_the_stages_trainjob_without_a_cluster():
    shown = CliRunner().invoke(app, ["render", "stage_2", "--run-id", "night", "--storage", "s3://b/runs"])
    assert shown.exit_code == 0, shown.output
    job = yaml.safe_load(shown.output)
    assert job["kind"] == "TrainJob"
    assert job["metadata"]["labels"]["aerie.dev/run"] == "night"
    assert "--parent-uri=s3://b/runs/night/stage_1_5" in job["spec"]["trainer"]["args"]


def test_render_knows_the_stages():
    shown = CliRunner().invoke(app, ["render", "stage_9"])
    assert shown.exit_code == 2
    assert "choose from" in shown.output + shown.stderr
