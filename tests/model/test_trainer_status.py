"""Progress reaches a TrainJob's status over real TLS; whatever goes wrong there is said once and changes nothing."""

import pytest
from trainer_server import TrainerServer

from model.training.trainer_status import CA_CERT, TOKEN, URL, TrainerStatus


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = TrainerServer(tmp_path_factory.mktemp("trainer"))
    yield made
    made.stop()


@pytest.fixture
def injected(server, monkeypatch):
    """The pod's variables."""
    monkeypatch.setenv(URL, server.url)
    monkeypatch.setenv(CA_CERT, str(server.ca_cert))
    monkeypatch.setenv(TOKEN, str(server.token))
    return server


def wait(status):
    if status._thread is not None:
        status._thread.join(20)


def test_the_trainjob_learns_progress_and_metrics(injected, capsys):
    now = [0.0]
    status, before = TrainerStatus("stage_1", clock=lambda: now[0]), len(injected.taken())
    for step in range(1, 41):
        status.report(share=step / 40, remaining_seconds=39.6 - step, metrics={"loss": 2.5 / step, "a" * 99: 1e-9})
        wait(status)
        injected.renew(f"token {step}")
        now[0] += 1.0
    status.close({"loss": 0.0625})
    taken = injected.taken()[before:]
    assert [entry["progressPercentage"] for entry in taken] == [2, 15, 27, 40, 52, 65, 77, 90, 100], "one in 5 seconds"
    assert taken[1]["estimatedRemainingSeconds"] == 33
    assert taken[1]["metrics"] == [{"name": "loss", "value": "0.416667"}, {"name": "a" * 64, "value": "1e-09"}]
    assert taken[-1]["metrics"] == [{"name": "loss", "value": "0.0625"}]
    assert taken[-1]["estimatedRemainingSeconds"] == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        (URL, "https://localhost:1/status", "refused"),
        (URL, "nonsense", "unknown url type"),
        (CA_CERT, "", "CERTIFICATE_VERIFY_FAILED"),
        (CA_CERT, "/nowhere/ca.crt", "No such file"),
        (TOKEN, "/nowhere/token", "No such file"),
        (TOKEN, __file__, "Error"),
    ],
)
def test_a_failure_is_said_once_and_no_more(injected, monkeypatch, capsys, name, value, why):
    monkeypatch.setenv(name, value)
    before, now = injected.taken(), [0.0]
    status = TrainerStatus("stage_1", clock=lambda: now[0])
    for _ in range(3):
        status.report(share=0.5, remaining_seconds=1.0, metrics={})
        wait(status)
        now[0] += 10.0
    status.close({})
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert said[0].startswith("stage_1  the Trainer takes no progress report (")
    assert why in said[0]
    assert injected.taken() == before


def test_a_refusal_names_the_servers_code(injected, monkeypatch, capsys):
    monkeypatch.setenv(URL, injected.url.replace("aerie-stage-1", "another"))
    status = TrainerStatus("stage_1")
    status.close({})
    assert "404" in capsys.readouterr().out


def test_without_the_variables_nothing_happens(monkeypatch, capsys):
    monkeypatch.delenv(URL, raising=False)
    status = TrainerStatus("stage_1")
    status.report(share=0.5, remaining_seconds=1.0, metrics={})
    status.close({})
    assert status._thread is None
    assert capsys.readouterr().out == ""
