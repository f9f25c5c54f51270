"""A stage through the launcher: a complete TrainJob is a success only with its result in the storage."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from trainjob_cases import KFP_RUN, PLACEMENT, RUN, RUNTIME, Time

from components.trainjob import launcher_for
from components.trainjob_patience import Patience
from components.trainjob_render import render_stage
from data.errors import AerieError
from data.files import join, write_bytes
from data.storage import Manifest, ShardWriter, commit
from model.training.job import FINISHED_NAME, parse
from model.training.run import train_stage

RECIPES = Path(__file__).resolve().parents[2] / "pipelines/recipes"
ROWS = pa.schema([("source", pa.string()), ("sample_id", pa.string())])
TEXT = json.dumps(PLACEMENT)


@pytest.fixture
def run_folder(tmp_path):
    """A run whose stage 1 can begin: its inputs are committed."""
    folder = tmp_path / RUN
    for step in ("formatting", "tokenizer", "packing/stage_1"):
        writer = ShardWriter(str(folder / step), ROWS)
        writer.write_table(pa.table({"source": ["a", "a", "b"], "sample_id": ["1", "2", "3"]}, ROWS))
        made = Manifest(step=step, fingerprint=step, recipe_sha256="", rows=3, shards=writer.close())
        commit(str(folder / step), made)
    (folder / "recipe.yaml").write_bytes((RECIPES / "mini.yaml").read_bytes())
    return folder


@pytest.fixture
def time(monkeypatch):
    """Real patience, but its time costs nothing."""
    time = Time()
    monkeypatch.setattr(Patience, "real", lambda where, waiting=None: time.patience())
    return time


def train(folder):
    inputs = (str(folder / "packing/stage_1"), str(folder / "formatting"), str(folder / "tokenizer"), "")
    launch = launcher_for(RUNTIME, TEXT, RUN, KFP_RUN)
    return train_stage(str(folder / "recipe.yaml"), "", "stage_1", *inputs, str(folder / "stage_1"), launch)


def write_result(server):
    """What the workers of the job that is alive would leave."""
    (body,) = server.state()["alive"].values()
    job, _ = parse(body["spec"]["trainer"]["args"])
    document = {"fingerprint": job.fingerprint, "attachments": {}}
    write_bytes(join(job.out_uri, FINISHED_NAME), json.dumps(document).encode())


@pytest.mark.usefixtures("cluster")
def test_a_complete_job_with_its_result_finishes_the_stage(api_server, run_folder, time):
    api_server.reset(lives=[["queue", "admit", "run", "wait", "complete"]])
    time.at[3] = lambda: write_result(api_server)
    manifest = train(run_folder)
    assert manifest.step == "stage_1"
    assert [(count.source, count.rows_in) for count in manifest.counts] == [("a", 2), ("b", 1)]
    assert train(run_folder) == manifest
    assert [item["method"] for item in api_server.requests()].count("POST") == 1


@pytest.mark.usefixtures("cluster", "time")
def test_a_complete_job_without_a_result_is_an_error(api_server, run_folder):
    api_server.reset(lives=[["complete"]])
    with pytest.raises(AerieError, match="stage_1: the training processes ended without a result"):
        train(run_folder)
    assert not (run_folder / "stage_1/manifest.json").exists()


@pytest.mark.usefixtures("cluster")
def test_exact_rendering_is_the_launchers_job(api_server, run_folder, time):
    api_server.reset(lives=[["complete"]])
    time.at[1] = lambda: write_result(api_server)
    train(run_folder)
    (body,) = api_server.state()["alive"].values()
    recipe = str(run_folder / "recipe.yaml")
    arguments = (recipe, "stage_1", str(run_folder.parent), RUN, TEXT, RUNTIME, KFP_RUN)
    exact = render_stage(*arguments, exact=True)
    assert exact["spec"] == body["spec"]
    assert exact["metadata"].items() <= body["metadata"].items()
    assert render_stage(*arguments)["metadata"]["name"] == body["metadata"]["name"]
