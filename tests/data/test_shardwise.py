"""Functions over shards in worker processes."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from data.errors import AerieError
from data.schema import make_sample
from data.shardwise import map_shards, shard_table
from data.storage import Manifest, shard_payload, write_samples

SAMPLES = [
    make_sample(source=f"s{n % 3}", category="science", images=(), conversations=(), meta={"n": n}) for n in range(40)
]


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "gate")


def written(folder, rows):
    shards = write_samples(folder, SAMPLES, rows_per_shard=rows)
    return Manifest(step="gate", fingerprint="", recipe_sha256="", rows=len(SAMPLES), shards=shards)


def ids(folder, shard):
    return os.getpid(), shard_table(shard_payload(folder, shard, "gate"), ["sample_id"])["sample_id"].to_pylist()


def bad_row(folder, shard):
    if shard.path == "shard-00002.parquet":
        raise AerieError(f"{shard.path} has a bad row")
    return shard.path


def killed(path, folder, shard):
    if shard.path == path:
        os.kill(os.getpid(), signal.SIGKILL)
    return shard.path


def test_results_come_in_order_from_other_processes(folder):
    results = list(map_shards(ids, folder, written(folder, 6), 2))
    assert [name for _, names in results for name in names] == [sample.sample_id for sample in SAMPLES]
    assert os.getpid() not in {process for process, _ in results}


def variable(folder, shard):
    return os.environ.get("AERIE_TEST_VARIABLE")


def test_workers_see_the_environment_of_the_moment(folder, monkeypatch):
    manifest = written(folder, 10)
    for value in ("one", "two"):
        monkeypatch.setenv("AERIE_TEST_VARIABLE", value)
        assert set(map_shards(variable, folder, manifest, 2)) == {value}


def test_few_shards_are_done_here(folder):
    assert {process for process, _ in map_shards(ids, folder, written(folder, 20), 2)} == {os.getpid()}
    assert (
        list(map_shards(ids, folder, Manifest(step="gate", fingerprint="", recipe_sha256="", rows=0, shards=()), 2))
        == []
    )


@pytest.mark.parametrize("rows", [6, 14])
def test_an_error_of_a_worker_is_raised_as_it_is(folder, rows):
    results = map_shards(bad_row, folder, written(folder, rows), 2)
    assert [next(results), next(results)] == ["shard-00000.parquet", "shard-00001.parquet"]
    with pytest.raises(AerieError, match=r"^shard-00002\.parquet has a bad row$"):
        next(results)


def test_a_killed_worker_is_named_with_what_it_did(folder):
    with pytest.raises(AerieError, match=r"a worker process died.*shard-00003\.parquet.*rows_per_shard"):
        list(map_shards(partial(killed, "shard-00003.parquet"), folder, written(folder, 6), 2))


def test_a_changed_shard_is_named(folder):
    manifest = written(folder, 20)
    with open(f"{folder}/{manifest.shards[1].path}", "ab") as stream:
        stream.write(b"x")
    with pytest.raises(AerieError, match=r"shard-00001\.parquet is truncated or changed"):
        list(map_shards(ids, folder, manifest, 2))
    os.remove(f"{folder}/{manifest.shards[0].path}")
    with pytest.raises(AerieError, match=r"shard-00000\.parquet is missing; run step 'gate' again"):
        list(map_shards(ids, folder, manifest, 2))


WAITING = """
import sys, time
sys.path.insert(0, {tests!r})
from test_shardwise import asleep
from data.shardwise import map_shards
from data.storage import Manifest, Shard

if __name__ == "__main__":
    shards = tuple(Shard(path=f"{{n}}", rows=1, bytes=1, sha256="") for n in range(4))
    manifest = Manifest(step="s", fingerprint="", recipe_sha256="", rows=4, shards=shards)
    list(map_shards(asleep, {folder!r}, manifest, 2))
"""


def asleep(folder, shard):
    Path(folder, f"{os.getpid()}.pid").touch()
    time.sleep(60)


def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "waiting.py"
    script.write_text(WAITING.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    parent = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": os.getcwd()})
    patience = time.monotonic() + 60
    while len(found := list(tmp_path.glob("*.pid"))) < 2:
        assert time.monotonic() < patience
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    workers = [int(file.stem) for file in found]
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < patience, "a worker outlives its parent"
        time.sleep(0.05)
