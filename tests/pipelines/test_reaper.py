"""`aerie reap`: a real KFP server tells the runs, a real API server holds the TrainJobs."""

from datetime import UTC, datetime, timedelta

import kfp_api
import kubernetes_api
import pytest
import yaml
from faulty_http import FaultyServer
from kfp_cases import OTHER_ID, RUN_ID, TimedApi, run
from kfp_cases import TOKEN as KFP_TOKEN
from trainjob_cases import TOKEN as KUBERNETES_TOKEN
from trainjob_cases import Time, manifest_for
from virtual_time import VirtualTime

from components import trainjob
from components.trainjob import connect
from data.errors import AerieError
from pipelines.kfp_endpoint import Endpoint
from pipelines.reaper import reap_orphans

NOW = datetime(2026, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def kfp():
    with FaultyServer(kfp_api.__file__) as server:
        yield server


@pytest.fixture(scope="module")
def kubernetes():
    with FaultyServer(kubernetes_api.__file__) as server:
        yield server


@pytest.fixture
def cluster(kubernetes, tmp_path, monkeypatch):
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "c", "cluster": {"server": kubernetes.url}}],
        "users": [{"name": "u", "user": {"token": KUBERNETES_TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u", "namespace": "aerie"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(trainjob, "NAMESPACE_FILE", tmp_path / "no-pod")
    return connect(timeout_seconds=0.1)


@pytest.fixture
def reap(kfp, cluster, tmp_path):
    """A function: (now, dry_run) -> what was deleted and what was said."""
    (tmp_path / "token").write_text(KFP_TOKEN)

    def once(now=NOW, dry_run=False, url=kfp.url):
        said = []
        api = TimedApi(Endpoint(url=url, token_file=str(tmp_path / "token")), VirtualTime())
        return reap_orphans(api, cluster, now, Time().patience(), said.append, dry_run), said

    return once


def jobs(*kfp_runs):
    """A running job of each KFP run; their names must differ, so each has its own priority class."""
    found = []
    for number, kfp_run in enumerate(kfp_runs):
        manifest = manifest_for(kfp_run=kfp_run)
        manifest["metadata"]["name"] = f"job-{number}"
        found.append({"manifest": manifest, "life": ["admit", "run"], "looks": 2})
    return found


def alive(kubernetes):
    return set(kubernetes.state()["alive"])


def changes(kubernetes):
    return [item["method"] for item in kubernetes.requests() if item["method"] != "GET"]


def test_orphans_go_after_the_grace_period_and_all_others_stay(reap, kfp, kubernetes):
    kfp.reset(token=KFP_TOKEN, runs=[run(state="CANCELED"), run(OTHER_ID)])
    kubernetes.reset(existing=jobs(RUN_ID, OTHER_ID, "c0ffee00-0000-4000-8000-000000000001", "no-uuid", ""))
    deleted, said = reap()
    assert deleted == 0
    assert said == [
        f"TrainJob job-0: KFP run {RUN_ID} is over; it has 1:00:00 to be cleaned up",
        "TrainJob job-2: KFP run c0ffee00-0000-4000-8000-000000000001 is over; it has 1:00:00 to be cleaned up",
        "TrainJob job-1 stays: running, KFP run RUNNING",
        "TrainJob job-3 stays: running, KFP run not a run of KFP",
        "TrainJob job-4 stays: running, KFP run none",
        "5 TrainJobs in namespace aerie, 0 deleted",
    ]
    deleted, said = reap(NOW + 2 * HOUR)
    assert deleted == 2
    assert said[0].startswith(f"TrainJob job-0 is deleted: its KFP run {RUN_ID} is CANCELED")
    assert said[-1] == "5 TrainJobs in namespace aerie, 2 deleted"
    assert alive(kubernetes) == {"job-1", "job-3", "job-4"}


def test_a_dry_run_changes_nothing(reap, kfp, kubernetes):
    kfp.reset(token=KFP_TOKEN, runs=[run(state="FAILED")])
    kubernetes.reset(existing=jobs(RUN_ID))
    reap()  # marks
    kubernetes_before = changes(kubernetes)
    deleted, said = reap(NOW + 2 * HOUR, dry_run=True)
    assert deleted == 1
    assert said[0].startswith("dry run, nothing is changed: TrainJob job-0 is deleted")
    assert said[-1] == "1 TrainJobs in namespace aerie, 0 deleted"
    assert changes(kubernetes) == kubernetes_before
    assert alive(kubernetes) == {"job-0"}


def test_without_kfp_nothing_is_deleted_or_marked(reap, kfp, kubernetes):
    """KFP is down, refuses us, fails in the middle, or the address is another server's."""
    kubernetes.reset(existing=jobs(RUN_ID, OTHER_ID))
    down = {"rates": {"unavailable": 1.0}}
    no_token = {"token": "another"}
    in_the_middle = {"script": ["pass", "pass"], "rates": {"dropped_before": 1.0}}
    for settings in (down, no_token, in_the_middle):
        kfp.reset(**{"token": KFP_TOKEN, "runs": [run(state="FAILED")], **settings})
        with pytest.raises(AerieError):
            reap()
    for url in (kubernetes.url, "http://127.0.0.1:9"):
        with pytest.raises(AerieError):
            reap(url=url)
    assert changes(kubernetes) == []
    assert alive(kubernetes) == {"job-0", "job-1"}


def test_lost_answers_of_both_servers_change_nothing_in_the_end(reap, kfp, kubernetes):
    rates = {"throttled": 0.1, "broken": 0.1, "dropped_before": 0.1, "dropped_after": 0.1, "truncated": 0.1}
    for seed in range(20):
        kfp.reset(seed, rates=rates, token=KFP_TOKEN, runs=[run(state="FAILED"), run(OTHER_ID)])
        kubernetes.reset(seed, rates=rates, existing=jobs(RUN_ID, OTHER_ID))
        reap()
        reap(NOW + 2 * HOUR)
        assert alive(kubernetes) == {"job-1"}, seed
