"""Accepted checkpoints at a Kubeflow Model Registry: an HTTP server as strict as the real one's API file."""

import model_registry_api
import pytest
from faulty_http import FAULTS, FaultyServer

from data.errors import AerieError
from model.evaluation.promotion import model_registry
from model.evaluation.promotion.model_registry import publish
from model.evaluation.promotion.registry import Entry

TOKEN = "planted-registry-token"


def entry(number=1):
    return Entry(
        model="tiny", number=number, run_id="run-a", stage="stage_2", checkpoint="c" * 64, recipe="tiny",
        recipe_sha256="r" * 64, data_version="d" * 64, evaluation="e" * 64, promotion="p" * 64, predictions="f" * 64,
        rules="local 1", scores={"easy-vqa": 0.5, "digits": 1}, questions={"easy-vqa": 10, "digits": 2},
        date="2026-01-01T00:00:00+00:00", benchmark_rules="eagle2 1", benchmark_scores={"mmstar": 0.25},
    )  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with FaultyServer(model_registry_api.__file__) as running:
        yield running


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(model_registry, "FIRST_PAUSE", 0.001)
    monkeypatch.delenv(model_registry.TOKEN, raising=False)


def test_model_version_and_artifact_stand_there_with_hashes_and_scores(server):
    server.reset()
    ids = publish(entry(), "s3://aerie/runs/run-a/stage_2", server.url + "/")
    model, version, artifact = server.state()
    assert (ids.model_id, ids.version_id, ids.artifact_id) == (model["id"], version["id"], artifact["id"])
    assert (model["name"], version["name"], version["parent"]) == ("tiny", "1", model["id"])
    assert version["customProperties"]["checkpoint"]["string_value"] == "c" * 64
    assert version["customProperties"]["score.easy-vqa"]["double_value"] == 0.5
    assert version["customProperties"]["benchmark.mmstar"]["double_value"] == 0.25
    assert version["customProperties"]["benchmark_rules"]["string_value"] == "eagle2 1"
    assert "git_sha" not in version["customProperties"], "nothing is known of the code"
    assert (artifact["uri"], artifact["parent"]) == ("s3://aerie/runs/run-a/stage_2", version["id"])


def test_a_repetition_adds_nothing_and_the_next_entry_is_a_version_of_the_same_model(server):
    server.reset()
    assert publish(entry(), "s3://a/b", server.url) == publish(entry(), "s3://a/b", server.url)
    publish(entry(2), "s3://a/c", server.url)
    kinds = [item["kind"] for item in server.state()]
    assert kinds == ["registered_model", *["model_version", "model_artifact"] * 2]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "slow"])
def test_whatever_happens_to_one_request_it_is_there_once(server, fault):
    for place in range(6):
        server.reset(script=["pass"] * place + [fault])
        publish(entry(), "s3://a/b", server.url)
        assert [item["kind"] for item in server.state()] == ["registered_model", "model_version", "model_artifact"]


def test_a_token_is_sent_and_never_told(server, monkeypatch):
    server.reset(token=TOKEN)
    monkeypatch.setenv(model_registry.TOKEN, TOKEN)
    publish(entry(), "s3://a/b", server.url)
    monkeypatch.setenv(model_registry.TOKEN, "another-secret")
    with pytest.raises(AerieError, match=r"is refused \(401 Unauthorized\); check its address and MODEL_REG") as error:
        publish(entry(), "s3://a/b", server.url)
    assert "secret" not in str(error.value)


def test_a_registry_that_is_down_costs_one_message(server):
    with pytest.raises(AerieError, match=r"can't be reached.*the checkpoint is in Aerie's own registry"):
        publish(entry(), "s3://a/b", "http://127.0.0.1:9")


@pytest.mark.parametrize("url", ["ftp://a", "http://user:secret@host", "registry:8080"])
def test_a_wrong_address_is_told_without_showing_it(url):
    with pytest.raises(AerieError, match="must look like http://HOST:PORT, without a user") as error:
        publish(entry(), "s3://a/b", url)
    assert "secret" not in str(error.value)
