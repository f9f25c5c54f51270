"""The launcher's surroundings in tests: a real API server process and the real client."""

import kubernetes_api
import pytest
import yaml
from faulty_http import FaultyServer
from trainjob_cases import STAGE, TOKEN, Time, manifest_for

from components import trainjob
from components.trainjob import connect, run_trainjob


@pytest.fixture(scope="session")
def api_server():
    with FaultyServer(kubernetes_api.__file__) as server:
        yield server


@pytest.fixture(scope="session")
def kubeconfig(api_server, tmp_path_factory):
    path = tmp_path_factory.mktemp("kube") / "config"
    context = {"cluster": "c", "user": "u", "namespace": "aerie"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "c", "cluster": {"server": api_server.url}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": "test", "context": context}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def cluster(kubeconfig, api_server, monkeypatch):
    """The real client on the test server, which forgets what other tests did."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.setattr(trainjob, "NAMESPACE_FILE", kubeconfig.parent / "no-pod")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    api_server.reset(token=TOKEN)
    return connect(timeout_seconds=0.1)


@pytest.fixture
def launch(cluster):
    """Launches the job of `manifest_for()` in a time that costs nothing."""

    def run(manifest=None, seed=0, time=None, run_end=lambda: "", **waiting):
        patience = (time or Time()).patience(seed, **waiting)
        run_trainjob(manifest or manifest_for(), STAGE, cluster, run_end, patience)

    return run
