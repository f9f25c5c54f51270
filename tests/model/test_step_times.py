"""Times come from the marks in a local run's logs."""

import pytest

from components.door import MARK
from model.evaluation.step_times import MARK as OURS
from model.evaluation.step_times import duration, step_seconds


def test_the_mark_is_the_one_that_doors_print():
    assert OURS.strip() == MARK


def test_the_last_execution_that_worked_counts(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    first = [
        '::aerie {"event": "begin", "step": "gate"}',
        '::aerie {"event": "end", "step": "gate", "seconds": 3.5, "mib": 9, "rows": 1, "reused": false}',
        "gate  1/2 rows",
        '::aerie {"event": "end", "step": "filt',
    ]
    second = [
        '::aerie {"event": "end", "step": "gate", "seconds": 0.1, "mib": 9, "rows": 1, "reused": true}',
        '::aerie {"event": "end", "step": "filtering", "seconds": 2, "mib": 9, "rows": 1, "reused": false}',
    ]
    (logs / "1.log").write_text("\n".join(first))
    (logs / "2.log").write_bytes("\n".join(second).encode() + b"\n\xff\xfe")
    assert step_seconds(str(tmp_path)) == {"gate": 3.5, "filtering": 2.0}


@pytest.mark.parametrize("uri", ["s3://bucket/run", "/nowhere/run"])
def test_without_logs_nothing_is_known(uri):
    assert step_seconds(uri) == {}


def test_durations_in_words():
    assert [duration(value) for value in (0.04, 59, 60, 3671)] == ["0.0 s", "59.0 s", "1 min 0 s", "61 min 11 s"]
