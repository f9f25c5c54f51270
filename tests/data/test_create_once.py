"""Files that are written once: one winner among real processes, whole or not at all."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from data.create_once import create_once
from data.errors import AerieError
from data.files import exists, join, read_bytes
from data.folders import files_below

ROOT = Path(__file__).resolve().parents[2]
RACE = """
import json, sys, time
from data.create_once import create_once
uri, who = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps([number for number in range(40) if create_once(f"{uri}/{number}.json", who.encode() * 1000)]))
"""


def race(uri):
    """The numbers that each of two processes won."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, uri, who], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for who in ("a", "b")
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    return [json.loads(racer.communicate(timeout=60)[0]) for racer in racers]


def check_race(uri):
    won = race(uri)
    assert sorted(won[0] + won[1]) == list(range(40))
    for number in range(40):
        who = b"a" if number in won[0] else b"b"
        assert read_bytes(join(uri, f"{number}.json")) == who * 1000


def test_two_processes_on_a_local_disk(tmp_path):
    check_race(str(tmp_path / "once"))
    assert len(files_below(str(tmp_path / "once"))) == 40, "no temporary file stays"


def test_two_processes_on_a_bucket(s3_uri):
    check_race(s3_uri)


def test_the_second_is_told(tmp_path, s3_uri):
    uri = str(tmp_path / "a" / "b.json")
    assert create_once(uri, b"mine")
    assert not create_once(uri, b"yours")
    assert Path(uri).read_bytes() == b"mine"
    assert create_once(join(s3_uri, "b"), b"mine")
    assert not create_once(join(s3_uri, "b"), b"yours")
    assert read_bytes(join(s3_uri, "b")) == b"mine"


def test_a_write_whose_answer_was_lost_is_ours(faulty, s3_uri):
    faulty.reset(script=["reset_after"])
    assert create_once(join(s3_uri, "c"), b"mine")
    assert exists(join(s3_uri, "c"))


def test_wrong_keys_are_one_message_without_the_address(s3_uri, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(AerieError, match=r"can't write s3://.*answers 403; check") as error:
        create_once(join(s3_uri, "d"), b"mine")
    assert "Signature" not in str(error.value)
