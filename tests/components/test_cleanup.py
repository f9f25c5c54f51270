"""The exit handler: whatever the run's end, its TrainJobs go and others stay."""

from types import SimpleNamespace

import pytest
from faulty_http import FAULTS
from trainjob_cases import KFP_RUN, RUN, RUNTIME, TOKEN, Time, manifest_for

from components import trainjob_cleanup
from components.cleanup import cleanup
from components.trainjob_cleanup import clean_up
from components.trainjob_ended import noted_end
from data.errors import AerieError

OTHER_RUN = "0b7c2f0e-0000-4000-8000-00000000000b"
LIFE = ["admit", "run", "wait", "complete"]


def jobs(*runs):
    made = []
    for number, kfp_run in enumerate(runs):
        manifest = manifest_for(kfp_run=kfp_run)
        manifest["metadata"]["name"] += f"-{number}"
        made.append({"manifest": manifest, "life": LIFE, "looks": 2})
    return made


def left(server):
    return [body["metadata"]["labels"]["aerie.dev/kfp-run"] for body in server.state()["alive"].values()]


@pytest.fixture
def storage(tmp_path):
    return str(tmp_path)


def end(storage, state, runtime=RUNTIME, kfp_run=KFP_RUN):
    cleanup.python_func(storage, RUN, kfp_run, runtime, SimpleNamespace(state=state))


@pytest.mark.parametrize("state", ["COMPLETE", "SUCCEEDED", "FAILED", "CANCELED"])
@pytest.mark.usefixtures("cluster")
def test_every_end_of_a_run_takes_its_jobs(api_server, storage, capsys, state):
    api_server.reset(existing=jobs(KFP_RUN, OTHER_RUN, KFP_RUN))
    end(storage, state)
    assert left(api_server) == [OTHER_RUN]
    assert f"run {RUN} ended as {state}" in capsys.readouterr().out
    end(storage, state)  # again: nothing left to do
    assert "0 TrainJobs" in capsys.readouterr().out
    deletions = [item for item in api_server.requests() if item["method"] == "DELETE"]
    assert len(deletions) == 2


@pytest.mark.parametrize(("runtime", "kfp_run"), [("", KFP_RUN), (RUNTIME, "")])
def test_without_trainjobs_there_is_nothing_to_ask(api_server, cluster, storage, capsys, runtime, kfp_run):
    end(storage, "SUCCEEDED", runtime, kfp_run)
    assert capsys.readouterr().out == f"run {RUN} ended as SUCCEEDED\n"
    assert api_server.requests() == []


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_fault_leaves_no_orphan(api_server, cluster, fault, method):
    api_server.reset(existing=jobs(KFP_RUN, OTHER_RUN), script=[fault] * 3, methods=[method])
    assert clean_up(cluster, KFP_RUN, Time().patience(), print) >= 1 - (method == "DELETE")
    assert left(api_server) == [OTHER_RUN]


@pytest.mark.usefixtures("cluster")
def test_what_cant_be_deleted_fails_the_task_with_one_message(api_server, storage):
    message = "trainjobs is forbidden: cannot delete"
    rule = {"method": "DELETE", "path": "trainjobs", "status": 403, "message": f"{message} Bearer {TOKEN}"}
    api_server.reset(existing=jobs(KFP_RUN), refuse=[rule])
    with pytest.raises(SystemExit) as failure:
        end(storage, "FAILED")
    assert "lacks a Role" in str(failure.value)
    assert message in str(failure.value)
    assert "may still hold GPUs until the reaper comes" in str(failure.value)
    assert TOKEN not in str(failure.value)


def test_a_cluster_without_trainer_has_nothing_to_clean_up(api_server, cluster):
    rule = {"method": "GET", "path": "trainjobs", "status": 404, "message": "the server could not find", "times": -1}
    api_server.reset(refuse=[rule])
    assert clean_up(cluster, KFP_RUN, Time().patience(), print) == 0


@pytest.mark.parametrize("looks", [1, 2, 6])
def test_a_launcher_that_outlived_its_run_doesnt_bring_the_job_back(api_server, launch, storage, looks):
    api_server.reset(lives=[["admit", "run"]], delete_looks=looks)
    time = Time(at={3: lambda: end(storage, "FAILED")})
    with pytest.raises(AerieError, match="the run has ended, and its exit handler has cleaned up"):
        launch(time=time, run_end=lambda: noted_end(f"{storage}/{RUN}", KFP_RUN))
    kinds = [kind for kind, _ in api_server.state()["history"]]
    assert kinds == ["created", "deleting", "gone"]


def test_a_retry_of_the_same_kfp_run_launches_again(api_server, launch, storage):
    api_server.reset(lives=[["complete"]])
    end(storage, "FAILED")
    launch(run_end=lambda: noted_end(f"{storage}/{RUN}", KFP_RUN))
    assert [kind for kind, _ in api_server.state()["history"]] == ["created", "complete"]


@pytest.mark.usefixtures("cluster")
def test_a_storage_out_of_reach_doesnt_keep_the_jobs_alive(api_server, tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    api_server.reset(existing=jobs(KFP_RUN))
    end(str(tmp_path / "file"), "FAILED")
    assert left(api_server) == []
    assert "the end can't be noted" in capsys.readouterr().out


def test_real_cleaning_up_looks_again_soon():
    assert trainjob_cleanup.WAITING.poll < 5
