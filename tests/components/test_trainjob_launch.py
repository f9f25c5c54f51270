"""The launcher against a real API server process: the lives of a job, every fault alone, every refusal."""

import os
import signal
import threading

import pytest
from faulty_http import FAULTS
from trainjob_cases import KFP_RUN, STAGE, Time, manifest_for

from components import trainjob
from components.trainjob_manifest import KFP_RUN_LABEL
from components.trainjob_patience import NO_ANSWER, ClusterError
from data.errors import AerieError

OTHER_RUN = "0b7c2f0e-0000-4000-8000-00000000000b"
TO_THE_END = ["wait", "queue", "wait", "admit", "run", ["print", 3], "wait", ["print", 2], "complete"]


def kinds(server):
    return [kind for kind, _ in server.state()["history"]]


def methods(server, method):
    return [item for item in server.requests() if item["method"] == method]


def training_lines(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("stage  line")]


def existing(*life, looks=0, kfp_run=KFP_RUN, **changes):
    return {"manifest": manifest_for(kfp_run=kfp_run, **changes), "life": list(life), "looks": looks}


def test_a_job_is_created_waited_for_and_its_log_passed_on(api_server, launch, capsys):
    api_server.reset(lives=[TO_THE_END])
    launch()
    out = capsys.readouterr().out
    assert kinds(api_server) == ["created", "complete"]
    assert [line for line in out.splitlines() if line.startswith("stage  line")] == api_server.state()["printed"]
    assert "is suspended, queued by Kueue since 2026-01-01T00:00:0" in out
    assert out.count("queued by Kueue") == 1
    (body,) = api_server.state()["alive"].values()
    assert body["spec"] == manifest_for()["spec"]
    assert body["metadata"]["labels"] == manifest_for()["metadata"]["labels"]


LIVES = {
    "evicted": ["admit", "run", ["print", 2], "evict", "replace", "run", ["print", 2], "complete"],
    "container restarted": ["admit", "run", ["print", 2], "restart", ["print", 2], "wait", "complete"],
    "suspended again": [
        "admit",
        "run",
        ["print", 2],
        "wait",
        "queue",
        "wait",
        "admit",
        "run",
        ["print", 2],
        "complete",
    ],
    "many lines at once": ["admit", "run", ["print", 300], ["print", 300], "complete"],
    "complete at the first look": ["complete"],
    "last words": ["admit", "run", ["print", 2], ["finish", 3]],
}


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
def test_no_line_is_lost_or_doubled(api_server, launch, capsys, life):
    api_server.reset(lives=[life])
    launch()
    assert training_lines(capsys) == api_server.state()["printed"]
    assert kinds(api_server) == ["created", "complete"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_fault_changes_nothing(api_server, launch, fault, method):
    time = Time()
    api_server.reset(script=[fault] * 3, methods=[method], lives=[TO_THE_END])
    launch(time=time)
    assert kinds(api_server) == ["created", "complete"]
    met = [item["fault"] for item in methods(api_server, method)]
    assert fault in met
    assert all(seconds <= 11 for seconds in time.slept)  # no more than a poll or what the server asked for


def test_a_servers_retry_after_is_kept(api_server, launch):
    time = Time()
    refuse = {"method": "GET", "path": "trainjobs", "status": 429, "message": "slow down", "times": 2}
    api_server.reset(refuse=[{**refuse, "headers": {"Retry-After": "45"}}], lives=[["complete"]])
    launch(time=time)
    assert all(seconds >= 45 for seconds in time.slept[:2])


@pytest.mark.parametrize("looks", [1, 3, 5])
@pytest.mark.parametrize("kfp_run", [KFP_RUN, OTHER_RUN, ""])
def test_an_unfinished_job_is_adopted(api_server, launch, looks, kfp_run):
    api_server.reset(existing=[existing(*TO_THE_END, looks=looks, kfp_run=kfp_run)])
    launch()
    assert kinds(api_server) == ["created", "complete"]
    assert not methods(api_server, "POST")
    (body,) = api_server.state()["alive"].values()
    assert body["metadata"]["labels"][KFP_RUN_LABEL] == KFP_RUN


def test_a_complete_job_is_taken_as_it_is(api_server, launch):
    api_server.reset(existing=[existing("complete", looks=1, kfp_run=OTHER_RUN)])
    launch()
    assert kinds(api_server) == ["created", "complete"]
    (body,) = api_server.state()["alive"].values()
    assert body["metadata"]["labels"][KFP_RUN_LABEL] == KFP_RUN


def test_a_job_that_failed_before_is_deleted_waited_for_and_created_anew(api_server, launch):
    failed = existing("admit", "run", ["fail", 1, 0], looks=3)
    api_server.reset(existing=[failed], lives=[["complete"]], delete_looks=4)
    launch()
    assert api_server.state()["history"] == [
        ["created", "uid-01"],
        ["failed", "uid-01"],
        ["deleting", "uid-01"],
        ["gone", "uid-01"],
        ["created", "uid-02"],
        ["complete", "uid-02"],
    ]


def test_a_second_failure_is_final(api_server, launch):
    failed = ["admit", "run", ["fail", 1, 0]]
    api_server.reset(existing=[existing(*failed, looks=3)], lives=[failed])
    with pytest.raises(AerieError, match="failed: FailedJobs"):
        launch()
    assert kinds(api_server).count("created") == 2


def test_another_job_of_the_name_is_left_alone(api_server, launch):
    api_server.reset(existing=[existing("admit", "run", looks=2, image="registry.example/other@sha256:" + "cd" * 32)])
    with pytest.raises(AerieError, match="another specification"):
        launch()
    assert kinds(api_server) == ["created"]


def test_a_job_on_its_way_out_is_waited_for(api_server, launch):
    api_server.reset(existing=[existing("vanish", looks=1)], lives=[["complete"]], delete_looks=5)
    launch()
    assert kinds(api_server) == ["created", "deleting", "gone", "created", "complete"]


def test_a_job_deleted_under_us_comes_back_once(api_server, launch):
    api_server.reset(lives=[["admit", "run", "vanish"], TO_THE_END])
    launch()
    assert kinds(api_server) == ["created", "deleting", "gone", "created", "complete"]
    api_server.reset(lives=[["admit", "run", "vanish"]])
    with pytest.raises(AerieError, match="deleted twice before it ended"):
        launch()
    assert kinds(api_server).count("created") == 2


def test_a_failed_job_is_told_with_codes_and_the_first_failed_pods_own_words(api_server, launch, capsys):
    event = '::training {"event": "error", "message": "the loss is nan at step 12"}'
    lines = [["say", 0, f"{STAGE}  step 11/90"], ["say", 1, event]]
    api_server.reset(lives=[["admit", "run", *lines, ["fail", 1, 1]]])
    with pytest.raises(AerieError) as failure:
        launch()
    text = str(failure.value)
    assert "failed: FailedJobs: jobset failed due to one or more job failures" in text
    assert text.index("-node-0-1-") < text.index("-node-0-0-")  # node 1 ended first
    assert "(node 1) exited with 1\n" in text
    assert "(node 0) exited with 143, SIGTERM\n" in text
    assert text.endswith("stage_1_5: the loss is nan at step 12")
    assert f"{STAGE}  step 11/90" in capsys.readouterr().out


def test_a_node_out_of_memory_is_told_with_its_last_lines(api_server, launch):
    lines = [["say", 0, f"line {number}"] for number in range(30)]
    api_server.reset(lives=[["admit", "run", *lines, ["fail", 137, 0]]])
    with pytest.raises(AerieError) as failure:
        launch()
    assert "exited with 137, SIGKILL (OOMKilled)" in str(failure.value)
    assert str(failure.value).endswith("line 28\nline 29")
    assert "line 2\n" not in str(failure.value)


def test_a_failure_without_pods_or_logs_is_still_one(api_server, launch):
    api_server.reset(lives=[["queue", ["fail", 1, 0]]])
    with pytest.raises(AerieError, match=r"failed: FailedJobs: .*\nit left no log"):
        launch()


REFUSALS = {
    "no token": (401, "Unauthorized", "doesn't accept our token"),
    "no role": (403, 'trainjobs.trainer.kubeflow.org is forbidden: User "x" cannot create', "lacks a Role"),
    "webhook": (403, 'admission webhook "v" denied the request: spec.trainer', "change what its message names"),
    "quota": (403, "exceeded quota: trainjobs", "change what its message names"),
    "invalid": (422, "TrainJob is invalid: spec.trainer.numNodes", "change what its message names"),
    "bad": (400, 'strict decoding error: unknown field "spec.x"', "change what its message names"),
    "no Trainer": (404, "the server could not find the requested resource", "Kubeflow Trainer"),
}


@pytest.mark.parametrize(("status", "message", "advice"), REFUSALS.values(), ids=REFUSALS)
def test_a_hopeless_answer_ends_it_at_once_and_says_what_to_do(api_server, launch, status, message, advice):
    time = Time()
    api_server.reset(refuse=[{"method": "POST", "path": "trainjobs", "status": status, "message": message}])
    with pytest.raises(AerieError, match=advice) as failure:
        launch(time=time)
    assert f"HTTP {status}: {message}" in str(failure.value)
    assert not time.slept


def test_the_server_really_checks_fields_runtime_and_environment(api_server, launch):
    for change, message in (
        (lambda spec: spec["trainer"].update(podSpecOverrides=[]), r"unknown field \"spec.trainer.podSpecOverrides\""),
        (lambda spec: spec["runtimeRef"].update(name="torch-gone"), "torch-gone"),
        (lambda spec: spec["trainer"]["env"].append({"name": "PET_NNODES", "value": "2"}), "reserved envs"),
    ):
        manifest = manifest_for()
        change(manifest["spec"])
        with pytest.raises(AerieError, match=message):
            launch(manifest)


def test_no_answer_for_long_enough_ends_the_launcher_and_not_the_job(api_server, launch):
    time = Time()
    api_server.reset(rates={"unavailable": 1.0})
    with pytest.raises(AerieError, match=r"no usable answer from the API server for 30 min.*goes on"):
        launch(time=time)
    assert 1800 < time.now < 1900
    assert len(time.slept) < 60


def test_a_storage_out_of_reach_is_waited_for(api_server, launch):
    answers = iter(["broken", "broken", "", "broken", "", ""])

    def run_end():
        if next(answers) == "broken":
            raise ClusterError(NO_ANSWER, "storage s3://aerie: timeout")
        return ""

    api_server.reset(lives=[["complete"]])
    launch(run_end=run_end)
    assert kinds(api_server) == ["created", "complete"]


def test_a_log_that_must_not_be_read_is_said_once(api_server, launch, capsys):
    refuse = {"method": "GET", "path": "/pods", "status": 403, "message": "pods is forbidden", "times": -1}
    api_server.reset(refuse=[refuse], lives=[TO_THE_END])
    launch()
    assert capsys.readouterr().out.count("its log can't be read (HTTP 403: pods is forbidden)") == 1


def test_a_log_that_fails_for_a_while_comes_later_and_whole(api_server, launch, capsys):
    refuse = {"method": "GET", "path": "/log", "status": 500, "message": "dial tcp: i/o timeout", "times": 3}
    api_server.reset(refuse=[refuse], lives=[TO_THE_END])
    launch()
    assert training_lines(capsys) == api_server.state()["printed"]


def test_two_launchers_at_once_share_one_job(api_server, cluster, launch):
    api_server.reset(lives=[["wait"] * 6 + TO_THE_END])
    threads = [threading.Thread(target=launch, kwargs={"seed": seed}) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds(api_server) == ["created", "complete"]


def test_sigterm_leaves_the_job_and_a_second_launch_adopts_it(api_server, launch, capsys):
    api_server.reset(lives=[TO_THE_END])
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        launch(time=Time(at={4: lambda: os.kill(os.getpid(), signal.SIGTERM)}))
    assert stop.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    assert "the job goes on" in capsys.readouterr().out
    assert len(api_server.state()["alive"]) == 1
    launch()
    assert kinds(api_server) == ["created", "complete"]


def test_without_a_cluster_there_is_one_message(kubeconfig, monkeypatch, tmp_path):
    monkeypatch.setattr(trainjob, "NAMESPACE_FILE", tmp_path / "no-pod")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(AerieError, match="no Kubernetes cluster"):
        trainjob.connect()
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    assert trainjob.connect().namespace == "aerie"
