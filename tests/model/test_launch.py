import json
import subprocess
import sys
import time

import pytest

from model.training.launch import EVENT, SAVING_VARIABLE, Output, _environment

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


SLOW_TO_SAVE = """
import pathlib, signal, sys, time
begun, saved = map(pathlib.Path, sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(4), saved.touch(), sys.exit(75)))
begun.touch()
time.sleep(60)
"""


@pytest.mark.parametrize("seconds", ["1", None])
def test_torchrun_waits_for_a_checkpoint_as_long_as_it_is_told(tmp_path, seconds):
    (tmp_path / "worker.py").write_text(SLOW_TO_SAVE)
    environment = _environment(1) | ({SAVING_VARIABLE: seconds} if seconds else {})
    assert int(environment[SAVING_VARIABLE]) == int(seconds or 120)
    begun, saved = tmp_path / "begun", tmp_path / "saved"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", str(tmp_path / "worker.py")]
    process = subprocess.Popen([*command, str(begun), str(saved)], env=environment, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not begun.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    process.terminate()
    process.wait(60)
    assert saved.exists() is (seconds is None)
