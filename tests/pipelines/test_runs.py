"""Looking at runs, ending them, reading their logs: against a real HTTP server that behaves like KFP."""

from datetime import UTC, datetime

import kfp_api
import kubernetes_api
import pytest
from faulty_http import FAULTS, FaultyServer
from kfp_cases import OTHER_ID, RUN_ID, TOKEN, TimedApi, graph, run
from virtual_time import VirtualTime

from data.errors import AerieError
from pipelines.kfp_client import KfpError
from pipelines.kfp_endpoint import IN_CLUSTER, Endpoint
from pipelines.run_logs import logs_of
from pipelines.run_tasks import pods_of, seconds_of, tasks_of
from pipelines.run_view import duration
from pipelines.runs import cancel, find_run, list_runs, read_run, watch

POD = "aerie-end-to-end-x7k2p"


@pytest.fixture(scope="module")
def server():
    with FaultyServer(kfp_api.__file__) as running:
        yield running


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


@pytest.fixture
def api(server, token_file):
    return TimedApi(Endpoint(url=server.url, token_file=str(token_file)), VirtualTime())


def posts(server):
    return [item for item in server.requests() if item["method"] == "POST"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"])
def test_waiting_ends_with_every_end(end, fault, server, api):
    """CANCELED too, for which KFP's own client waits for ever; and with every third answer lost."""
    life = [[20, "RUNNING"], [60, end]]
    server.reset(token=TOKEN, runs=[run(state="PENDING")], life=life, script=[fault, "pass", "pass"] * 3)
    seen = []
    assert watch(api, RUN_ID, seen.append).state == end
    assert list(dict.fromkeys(item.state for item in seen)) == ["PENDING", "RUNNING", end]
    assert api.pace.clock() >= 60


def test_a_run_that_is_deleted_while_we_wait_is_an_error(server, api):
    server.reset(token=TOKEN)
    with pytest.raises(AerieError, match="was deleted while we waited"):
        watch(api, RUN_ID)


@pytest.mark.parametrize("fault", ["pass", *FAULTS])
def test_cancelling_waits_until_the_run_has_ended(fault, server, api):
    """A lost answer makes us ask again, and KFP refuses to end what is ending: no error."""
    server.reset(token=TOKEN, runs=[run()], cancel_seconds=30, script=[fault], methods=["POST"])
    assert cancel(api, read_run(api, RUN_ID)).state == "CANCELED"
    assert api.pace.clock() >= 30


def test_cancelling_what_is_over_asks_for_nothing(server, api):
    server.reset(token=TOKEN, runs=[run(state="SUCCEEDED")])
    assert cancel(api, read_run(api, RUN_ID)).state == "SUCCEEDED"
    assert posts(server) == []


def test_a_run_is_found_by_its_id_and_by_its_name(server, api):
    server.reset(token=TOKEN, runs=[run(), run(OTHER_ID), run("c" * 8, "other")])
    assert find_run(api, RUN_ID).run_id == RUN_ID
    assert find_run(api, "tiny-0b7c2f0e").run_id == OTHER_ID  # the newest
    with pytest.raises(AerieError, match="no run 'tiny'"):
        find_run(api, "tiny")


def test_a_list_is_read_to_its_last_page(server, api):
    server.reset(token=TOKEN, runs=[run(f"run-{number}", "same") for number in range(7)], page_size=2)
    assert [found.run_id for found in list_runs(api, "same")] == [f"run-{number}" for number in reversed(range(7))]
    assert len(server.requests()) == 4


def test_the_servers_wish_to_be_left_alone_is_respected(server, api):
    server.reset(token=TOKEN, runs=[run()], script=["throttled"])
    read_run(api, RUN_ID)
    assert api.pace.clock() >= 1.0  # Retry-After: 1 to 5


def test_pauses_grow_and_patience_ends(server, api):
    server.reset(token=TOKEN, rates={"unavailable": 1.0})
    with pytest.raises(KfpError, match=r"(?s)no usable answer for 5 min; is it up\?.*HTTP 503"):
        read_run(api, RUN_ID)
    assert 300 < api.pace.clock() < 400
    assert len(server.requests()) < 30


def test_nobody_there():
    with pytest.raises(KfpError, match=r"can't connect \(\[Errno 111\] Connection refused\)"):
        TimedApi(Endpoint(url="http://127.0.0.1:9"), VirtualTime()).ask("GET", "/")


def test_a_login_page_is_recognised(server, api):
    rule = {"method": "GET", "path": "/runs", "status": 302, "message": "<html>"}
    server.reset(token=TOKEN, refuse=[rule])
    with pytest.raises(KfpError, match="leads to a login page") as caught:
        read_run(api, RUN_ID)
    assert caught.value.status == 401


def test_the_token_is_read_anew_and_never_shown(server, api, token_file):
    server.reset(token="second-token-of-the-kubelet", runs=[run()])
    with pytest.raises(KfpError, match=r"mount one for the audience pipelines\.kubeflow\.org") as caught:
        read_run(api, RUN_ID)
    assert TOKEN not in str(caught.value)
    token_file.write_text("second-token-of-the-kubelet\n")
    assert read_run(api, RUN_ID).state == "RUNNING"


def test_a_missing_token_file_is_named(api, tmp_path):
    api.endpoint = Endpoint(url=api.endpoint.url, token_file=str(tmp_path / "absent"))
    with pytest.raises(AerieError, match="absent, which KF_PIPELINES_SA_TOKEN_PATH names"):
        read_run(api, RUN_ID)


def test_where_kfp_is():
    inside = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    named = {"AERIE_KFP_ENDPOINT": "https://kfp.example/", "AERIE_KFP_UI": "https://ui.example/_/pipeline"}
    assert Endpoint.find(environment=inside).url == IN_CLUSTER
    assert Endpoint.find(environment=inside | named).url == "https://kfp.example"
    assert Endpoint.find("http://localhost:8080", environment=named).url == "http://localhost:8080"
    assert Endpoint.find(environment=named).page("id") == "https://ui.example/_/pipeline/#/runs/details/id"
    with pytest.raises(AerieError, match="kubectl port-forward"):
        Endpoint.find(environment={})
    with pytest.raises(AerieError, match=r"\(kfp\.example\) holds a password") as caught:
        Endpoint.find("https://user:hunter2hunter2@kfp.example", environment={})
    assert "hunter2" not in str(caught.value)


def finished(server, api, **settings):
    """A run that has failed, with its graph."""
    server.reset(token=TOKEN, runs=[run(**settings.pop("fields", {}))], life=[[0, "FAILED"]], tasks=graph(), **settings)
    return read_run(api, RUN_ID)


def test_people_see_tasks_and_not_argos_scaffold(server, api):
    found = finished(server, api)
    assert [task.name for task in tasks_of(found)] == ["validation", "stage-1", "stage-2"]
    validation, stage_1, stage_2 = tasks_of(found)
    assert (seconds_of(validation), seconds_of(stage_1), seconds_of(stage_2)) == (69, 350, None)
    assert "OOMKilled" in stage_1.error
    assert pods_of(found, validation) == [f"{POD}-5"]
    assert pods_of(found, stage_1) == [f"{POD}-9", f"{POD}-10"]
    assert pods_of(found, stage_2) == []


def test_a_running_task_counts_until_now(server, api):
    server.reset(token=TOKEN, runs=[run(run_details={"task_details": graph()})])
    (task,) = [task for task in read_run(api, RUN_ID).tasks if task.name == "stage-1"]
    running = type(task)(task_id="1", name="n", state="RUNNING", started=task.started)
    assert seconds_of(running) == pytest.approx((datetime.now(UTC) - task.started).total_seconds(), abs=60)


def test_logs_come_from_the_pods_of_every_try(server, api, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-s3-secret")
    logs = {f"{POD}-9": "first try\n", f"{POD}-system-container-impl-10": "second try, key planted-s3-secret\n"}
    found = finished(server, api, logs=logs)
    assert [(log.source, log.text) for log in logs_of(api, found, "stage-1")] == [
        (f"stage-1 (pod {POD}-9)", "first try\n"),
        (f"stage-1 (pod {POD}-10)", "second try, key [hidden]\n"),
    ]


def test_without_pods_the_errors_in_the_storage_are_shown(server, api, tmp_path):
    errors = tmp_path / "my-run" / "errors"
    errors.mkdir(parents=True)
    (errors / "packing.stage_1.txt").write_text("no room")
    parameters = {"storage_uri": str(tmp_path), "run_id": "my-run"}
    found = finished(server, api, fields={"runtime_config": {"parameters": parameters}})
    (log,) = logs_of(api, found)
    assert log.source == f"packing.stage_1 (no pod is left; its error in {tmp_path}/my-run/errors)"
    assert log.text == "no room"


def test_nothing_to_read_and_no_such_task_are_errors(server, api):
    found = finished(server, api)
    with pytest.raises(AerieError, match="no pods with logs"):
        list(logs_of(api, found))
    with pytest.raises(AerieError, match="no task 'stage'; it has: validation, stage-1, stage-2"):
        list(logs_of(api, found, "stage"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (200, "3 min 20 s"), (18180, "5 h 3 min"), (187200, "2 d 4 h")],
)
def test_durations_have_two_units(seconds, text):
    assert duration(seconds) == text


def test_a_kubernetes_api_is_not_taken_for_kfp(token_file):
    with FaultyServer(kubernetes_api.__file__) as other:
        api = TimedApi(Endpoint(url=other.url, token_file=str(token_file)), VirtualTime())
        with pytest.raises(KfpError, match="check the id, --endpoint"):
            api.insist("GET", "/apis/v2beta1/healthz")
