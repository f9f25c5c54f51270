"""The door around every component: markers, hand-over check, locks, user errors, metrics."""

import fcntl
import json
from types import SimpleNamespace

import pytest

from components.door import flat_numbers, ledger_metrics, log_metrics, open_door, peak_mib
from data.curation.given_gpus import GIVEN_GPUS
from data.errors import AerieError
from data.ledger import StepCount
from data.storage import Manifest, commit


def small_manifest():
    counts = (StepCount(source="s", rows_in=5, rows_out=3, dropped={"blurred": 2}),)
    return Manifest(step="filtering", fingerprint="f", recipe_sha256="r", rows=3, shards=(), counts=counts)


class FakeArtifact(SimpleNamespace):
    """What KFP hands in for an output artifact: a path and metadata."""


def marks(text):
    return [json.loads(line.removeprefix("::aerie ")) for line in text.splitlines() if line.startswith("::aerie ")]


def test_a_step_announces_its_begin_and_end_and_hands_over_its_manifest(tmp_path, capsys):
    artifact = FakeArtifact(path=str(tmp_path / "kfp" / "manifest"), metadata={})
    with open_door("filtering", str(tmp_path), "run") as door:
        done = commit(door.out, small_manifest())
        assert door.finish(done, manifest=artifact) == done.sha256()
    begin, end = marks(capsys.readouterr().out)
    assert begin == {"event": "begin", "step": "filtering"}
    assert (end["event"], end["rows"], end["reused"]) == ("end", 3, False)
    assert end["seconds"] >= 0
    assert end["mib"] > 0
    assert artifact.metadata == {"uri": f"{tmp_path}/run/filtering", "sha256": done.sha256(), "rows": 3}


def test_a_step_that_was_finished_says_so(tmp_path, capsys):
    commit(f"{tmp_path}/run/filtering", small_manifest())
    with open_door("filtering", str(tmp_path), "run") as door:
        door.finish(small_manifest())
    assert marks(capsys.readouterr().out)[-1]["reused"] is True


def test_a_users_mistake_ends_the_task_without_a_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop, open_door("sourcing/digits", str(tmp_path), "run"):
        raise AerieError("card digits.yaml: no adapter\nadd one")
    assert stop.value.code == 1
    assert (tmp_path / "run/errors/sourcing.digits.txt").read_text() == "card digits.yaml: no adapter\nadd one"
    _, error = marks(capsys.readouterr().out)
    assert error["message"] == "card digits.yaml: no adapter\nadd one"


def test_a_pod_that_does_not_see_its_gpus_ends_before_it_begins_to_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv(GIVEN_GPUS, "99")
    with pytest.raises(SystemExit), open_door("gate", str(tmp_path), "run"):
        pytest.fail("the step ran on the processor")
    assert "given 99 GPU(s) and torch sees" in marks(capsys.readouterr().out)[-1]["message"]


def test_success_removes_the_error_of_an_earlier_try(tmp_path):
    with pytest.raises(SystemExit), open_door("gate", str(tmp_path), "run"):
        raise AerieError("no")
    with open_door("gate", str(tmp_path), "run"):
        pass
    assert not (tmp_path / "run/errors/gate.txt").exists()


def test_a_bug_keeps_its_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), open_door("gate", str(tmp_path), "run"):
        1 / 0  # noqa: B018


def test_an_input_that_changed_or_is_missing_is_refused(tmp_path):
    commit(f"{tmp_path}/run/filtering", small_manifest())
    for step, sha256, message in (("filtering", "0" * 64, "changed after"), ("gate", "0" * 64, "has not finished")):
        with pytest.raises(SystemExit), open_door("selection", str(tmp_path), "run") as door:
            door.upstream(step, sha256)
        assert message in (tmp_path / "run/errors/selection.txt").read_text()


def test_two_processes_never_run_one_step_of_a_run(tmp_path):
    path = tmp_path / "run/.locks/gate"
    path.parent.mkdir(parents=True)
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SystemExit), open_door("gate", str(tmp_path), "run"):
            raise AssertionError("the body must not run")
    assert "still running" in (tmp_path / "run/errors/gate.txt").read_text()


def test_metrics_are_the_ledgers_sums_and_finite():
    assert ledger_metrics(small_manifest()) == {
        "filtering/rows": 3,
        "filtering/in": 5,
        "filtering/added": 0,
        "filtering/kept": 3,
        "filtering/dropped_blurred": 2,
    }
    logged = {}
    metrics = SimpleNamespace(log_metric=logged.__setitem__)
    log_metrics(metrics, {"a": 1, "b": float("nan"), "c": float("inf"), "d": None, "e": "text", "f": 0.5})
    assert logged == {"a": 1.0, "f": 0.5}


def test_flat_numbers_names_nested_values_by_path():
    document = {"all": {"exact": 0.5, "rows": 3}, "name": "x", "ok": True, "list": [1]}
    assert flat_numbers(document, "evaluation") == {"evaluation.all.exact": 0.5, "evaluation.all.rows": 3}


def test_peak_memory_is_plausible():
    assert 10 < peak_mib() < 100_000
