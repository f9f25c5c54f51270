import json

import pytest

from model.training.launch import EVENT, Output

STAGE = "stage_1"


def explain(lines, code=1):
    output = Output(STAGE)
    output.read(f"{line}\n" for line in lines)
    return output.explain(code)


def test_a_workers_own_message_is_the_reason():
    event = EVENT + json.dumps({"event": "error", "message": "the loss is nan"})
    assert explain(["stage_1  step 1/9", event, "failed (exitcode: 1) local_rank: 0"]) == "stage_1: the loss is nan"


@pytest.mark.parametrize(("code", "name"), [(-9, "SIGKILL (often: out of memory)"), (-11, "SIGSEGV")])
def test_a_killed_worker_is_told_with_its_signal_and_rank(code, name):
    assert f"process 1 was killed by {name}" in explain([f"failed (exitcode: {code}) local_rank: 1 (pid: 7)"])


def test_a_requested_stop_says_how_to_go_on():
    assert "run it again to continue" in explain([EVENT + '{"event": "stopped"}'])


def test_anything_else_shows_the_last_lines():
    text = explain([f"line {number}" for number in range(40)], code=3)
    assert "exit code 3" in text
    assert text.endswith("line 38\nline 39")
    assert "line 20\n" not in text


def test_progress_is_passed_on_and_tracebacks_are_not(capsys):
    explain(["stage_1  step 1/9  loss 2.0", "Traceback (most recent call last)", '  File "x"', "ValueError: no"])
    assert capsys.readouterr().out == "stage_1  step 1/9  loss 2.0\n"


def test_an_event_cut_in_the_middle_is_an_ordinary_line():
    cut = EVENT + '{"event": "error", "mess'
    assert explain([cut, EVENT + "7"]).endswith(f"{cut}\n{EVENT}7")


def test_lines_go_where_they_are_told_and_a_reason_is_empty_until_there_is_one(capsys):
    shown = []
    output = Output(STAGE, shown.append)
    output.take("stage_1  step 1/9")
    assert (shown, capsys.readouterr().out, output.reason()) == (["stage_1  step 1/9"], "", "")
    output.take(EVENT + '{"event": "stopped"}')
    assert "run it again to continue" in output.reason()
