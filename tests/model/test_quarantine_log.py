"""Bad samples on disk: every rank's, once, and none that a resumed run will meet again or that another job met."""

import dataclasses
import io
import json

import pyarrow.parquet as pq
import pytest

from data.folders import files_below
from data.ledger import StepCount
from data.schema import samples_to_table
from data.shardwise import write_shard
from data.storage import commit, read_attachment, read_manifest, read_samples
from model.inputs.quarantine import QuarantineEvent
from model.steps import pack_stage
from model.training.quarantine_log import QuarantineLog, merged_events, parse_events
from model.training.run import train_stage
from model.training.stage import train
from model.training.stopping import StopRequest


def event(pack: int, name: str = "a") -> QuarantineEvent:
    return QuarantineEvent(pack, name, "web", "corrupt_image", "é is cut")


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.xdist_group("s3"))])
def out(request, tmp_path):
    return str(tmp_path) if request.param == "disk" else request.getfixturevalue("s3_uri")


def test_events_of_all_ranks_come_together_sorted_and_once(out):
    logs = [QuarantineLog(out, "f", rank=rank, world=2, next_pack=0) for rank in range(2)]
    assert merged_events(out, "f") == b""
    assert files_below(out) == []
    logs[1].append((event(5), event(3)))
    logs[0].append((event(4),))
    logs[1].append((event(5),))
    assert parse_events(merged_events(out, "f")) == [event(3), event(4), event(5)]
    assert b"fingerprint" not in merged_events(out, "f")
    assert merged_events(out, "another") == b""


def test_a_resumed_run_on_fewer_ranks_keeps_what_came_before_its_checkpoint(out):
    for rank in range(4):
        QuarantineLog(out, "f", rank=rank, world=4, next_pack=0).append((event(rank), event(10 + rank)))
    resumed = [QuarantineLog(out, "f", rank=rank, world=2, next_pack=10) for rank in range(2)]
    assert parse_events(merged_events(out, "f")) == [event(pack) for pack in range(4)]
    assert files_below(out) == ["quarantine-rank0.jsonl", "quarantine-rank1.jsonl"]
    resumed[0].append((event(10),))
    assert parse_events(merged_events(out, "f"))[-1] == event(10)


def test_another_jobs_events_are_forgotten(out):
    QuarantineLog(out, "old", rank=0, world=1, next_pack=0).append((event(1),))
    QuarantineLog(out, "new", rank=0, world=1, next_pack=9).append((event(2),))
    assert parse_events(merged_events(out, "new")) == [event(2)]
    assert merged_events(out, "old") == b""


@pytest.fixture
def ruined(training_folder, tmp_path):
    """(recipe, packing, formatting, tokenizer), and the id of the one sample whose picture was ruined after packing."""
    recipe, tokenizer = str(training_folder / "recipe.yaml"), str(training_folder / "tokenizer")
    packing, formatting = str(tmp_path / "packing"), tmp_path / "formatting"
    samples = list(read_samples(str(training_folder / "formatting")))
    sink = io.BytesIO()
    pq.write_table(samples_to_table(samples), sink, compression="none", use_dictionary=False, write_statistics=False)
    payload = sink.getvalue()  # the pictures' bytes stand in it as they are
    shard = write_shard(str(formatting), "shard-00000.parquet", payload, len(samples))
    planned = dataclasses.replace(read_manifest(str(training_folder / "formatting")), shards=(shard,))
    commit(str(formatting), planned)
    pack_stage(recipe, "", "stage_1_5", str(formatting), tokenizer, packing)
    victim = samples[7]
    picture = victim.images[0].bytes
    assert picture in payload
    (formatting / shard.path).write_bytes(payload.replace(picture, picture[:50] + b"ruin" + picture[54:]))
    return (recipe, packing, str(formatting), tokenizer), victim.sample_id


def test_what_was_never_trained_on_is_dropped_from_the_ledger(ruined, alone, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    (recipe, packing, formatting, tokenizer), lost = ruined
    out = str(tmp_path / "out")
    places = (packing, formatting, tokenizer, "", out)
    manifest = train_stage(recipe, "", "stage_1_5", *places, launcher=in_this_process)
    assert manifest.counts == (
        StepCount(source="shapes", rows_in=37, rows_out=36, dropped={"corrupt_image": 1}),
    )  # in three epochs
    assert manifest.rows == read_manifest(packing).rows - 3
    events = parse_events(read_attachment(out, manifest, "quarantine"))
    assert [found.sample_id for found in events] == [lost] * 3
    steps = [json.loads(line) for line in read_attachment(out, manifest, "metrics").splitlines()]
    assert sum(step["samples"] for step in steps) == 3 * 36


def in_this_process(job, recipe) -> None:
    assert train(job, StopRequest())
