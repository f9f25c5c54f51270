"""The door of a component whose storage is a bucket."""

import json

import pytest

from components.door import open_door
from data.errors import AerieError
from data.files import join, read_bytes
from data.folders import files_below
from data.storage import Manifest, commit

pytestmark = pytest.mark.xdist_group("s3")
DONE = Manifest(step="gate", fingerprint="f", recipe_sha256="r", rows=0, shards=())


def marks(text):
    return [json.loads(line.removeprefix("::aerie ")) for line in text.splitlines() if line.startswith("::aerie ")]


def test_a_mistake_leaves_its_message_until_the_step_succeeds(s3_uri):
    with pytest.raises(SystemExit), open_door("packing/stage_1", s3_uri, "run"):
        raise AerieError("capacity 8 is too small")
    assert read_bytes(join(s3_uri, "run/errors/packing.stage_1.txt")) == b"capacity 8 is too small"
    with open_door("packing/stage_1", s3_uri, "run") as door:
        door.finish(commit(door.out, DONE))
    assert files_below(s3_uri) == ["run/packing/stage_1/manifest.json"]


def test_a_mistake_is_told_although_the_store_is_away(s3_uri, faulty, capfd):
    faulty.reset(rates={"internal_error": 1.0})
    with pytest.raises(SystemExit) as stop, open_door("gate", s3_uri, "run") as door:
        commit(door.out, DONE)
    assert stop.value.code == 1
    _, error = marks(capfd.readouterr().out)
    assert (error["event"], error["step"]) == ("error", "gate")
    assert "gate/manifest.json" in error["message"]


def test_a_step_that_is_done_ends_well_although_the_store_went_away_after_it(s3_uri, faulty, capfd):
    with open_door("gate", s3_uri, "run") as door:
        door.finish(commit(door.out, DONE))
        faulty.reset(rates={"reset_before": 1.0})
    assert marks(capfd.readouterr().out)[-1]["event"] == "end"


def test_work_that_is_committed_is_reused(s3_uri, capfd):
    for reused in (False, True):
        with open_door("gate", s3_uri, "run") as door:
            door.finish(commit(door.out, DONE))
        assert marks(capfd.readouterr().out)[-1]["reused"] is reused
