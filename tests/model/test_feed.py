"""The feed: the plan's packs in order, from a thread or from real worker processes, which neither hang nor linger."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data.errors import AerieError
from data.storage import read_manifest, read_samples, write_samples
from model.inputs.loader import PackLoader
from model.inputs.quarantine import QuarantineEvent, QuarantineLimit
from model.recipe import load_recipe
from model.training.feeding.feed import StepFeed
from model.training.feeding.feed_sources import ThreadPacks, packs_ahead
from model.training.schedule import rank_packs, step_packs, total_steps

ROOT = Path(__file__).resolve().parents[2]
STAGE = "stage_1_5"


@pytest.fixture(scope="module")
def settings(training_folder):
    return load_recipe(str(training_folder / "recipe.yaml")).stages[STAGE]


@pytest.fixture
def loader(training_folder):
    return open_loader(training_folder)


def open_loader(run: Path) -> PackLoader:
    places = (str(run / name) for name in (f"packing/{STAGE}", "formatting", "tokenizer"))
    return PackLoader.open(load_recipe(str(run / "recipe.yaml")), STAGE, *places)


def everything(feed: StepFeed) -> None:
    while True:
        feed.next()


def same(left, right) -> bool:
    return all(
        np.array_equal(getattr(left, field.name), getattr(right, field.name)) for field in dataclasses.fields(left)
    )


@pytest.mark.parametrize(("workers", "rank", "world", "start"), [(0, 0, 1, 0), (0, 1, 2, 3), (2, 1, 2, 3)])
def test_every_step_brings_the_ranks_packs_of_the_plan(loader, settings, workers, rank, world, start):
    feed = StepFeed(loader, settings, rank=rank, world=world, start=start, workers=workers)
    steps = total_steps(len(loader), settings)
    assert steps > 6
    for step in range(start, steps):
        found, planned = feed.next(), rank_packs(step_packs(step, len(loader), settings), rank, world)
        assert [pack.counts for pack in found.packs] == [counts for _, counts in planned]
        assert found.quarantined == ()
        for pack, (number, counts) in zip(found.packs, planned, strict=True):
            assert same(pack.batch, loader.pack(number))
            assert np.shares_memory(pack.batch.tiles, pack.tensors.tiles.numpy())
            assert not pack.tensors.tiles.is_pinned()
            assert pack.tensors.max_seqlen == np.diff(pack.batch.cu_seqlens).max()
            assert (pack.denominator > 0) == bool(pack.weights.any()) == counts
    feed.close()


def test_without_a_gpu_no_process_is_started(loader, settings):
    source = packs_ahead(loader, iter(()), settings.loss_reduction, per_step=2, workers=None)
    assert isinstance(source, ThreadPacks)
    source.close()


def test_packs_ahead_are_bounded_by_their_bytes(loader, settings, monkeypatch):
    monkeypatch.setattr("model.training.feeding.feed_sources.AHEAD_BYTES", 3 * loader.largest_bytes)
    monkeypatch.setattr("model.training.feeding.feed_sources.WorkerPacks", lambda *_, workers, ahead: (workers, ahead))
    assert packs_ahead(loader, iter(()), "sqrt", per_step=2, workers=8) == (3, 1)
    monkeypatch.setattr("model.training.feeding.feed_sources.AHEAD_BYTES", 17 * loader.largest_bytes)
    assert packs_ahead(loader, iter(()), "sqrt", per_step=2, workers=8) == (8, 2)
    monkeypatch.setattr("model.training.feeding.feed_sources.AHEAD_BYTES", 1)
    assert packs_ahead(loader, iter(()), "sqrt", per_step=2, workers=2) == (1, 1)


def test_workers_get_no_more_than_shared_memory_holds(loader, settings, monkeypatch, capsys):
    monkeypatch.setattr("model.training.feeding.feed_sources.WorkerPacks", lambda *_, workers, ahead: (workers, ahead))
    monkeypatch.setattr("model.training.feeding.feed_sources.shared_memory", lambda: 3 * loader.largest_bytes)
    assert packs_ahead(loader, iter(()), "sqrt", per_step=2, workers=8) == (3, 1)
    assert "/dev/shm has room for 3 packs" in capsys.readouterr().out
    monkeypatch.setattr("model.training.feeding.feed_sources.shared_memory", lambda: 1)
    source = packs_ahead(loader, iter(()), "sqrt", per_step=2, workers=8)
    assert isinstance(source, ThreadPacks)
    source.close()


def test_a_killed_worker_is_an_error_and_no_hang(loader, settings):
    feed = StepFeed(loader, settings, rank=0, world=1, workers=1)
    feed.next()
    [worker] = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(AerieError, match=rf"process {worker.pid}, .* killed by SIGKILL: .*go on from its last"):
        everything(feed)  # what it had finished may still come
    feed.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_reader_is_raised_as_it_is(training_folder, settings, workers):
    loader = open_loader(training_folder)
    shard = dataclasses.replace(loader.sources.formatting.shards[0], path="nothing.parquet")
    formatting = dataclasses.replace(loader.sources.formatting, shards=(shard,))
    loader.sources = dataclasses.replace(loader.sources, formatting=formatting)
    feed = StepFeed(loader, settings, rank=0, world=1, workers=workers)
    with pytest.raises(AerieError, match=r"^file not found: .*/formatting/nothing.parquet$"):
        feed.next()
    feed.close()


@pytest.fixture
def damaged(training_folder, settings):
    """A loader whose formatted samples lost what made four of them trainable, those of a whole pack among them."""
    loader = open_loader(training_folder)
    folder = str(training_folder / "damaged")
    alone = set(loader.pack(2).sample_ids)
    samples = [
        dataclasses.replace(sample, conversations=sample.conversations[:2]) if sample.sample_id in alone else sample
        for sample in read_samples(str(training_folder / "formatting"))
    ]
    formatting = dataclasses.replace(
        read_manifest(str(training_folder / "formatting")), shards=write_samples(folder, samples)
    )
    loader.sources = dataclasses.replace(loader.sources, formatting_uri=folder, formatting=formatting)
    return loader, alone


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_sample_is_told_once_and_an_empty_pack_keeps_step(damaged, loader, settings, workers):
    broken, bad = damaged
    feeds = [StepFeed(broken, settings, rank=rank, world=2, workers=workers) for rank in range(2)]
    events = []
    for step in range(total_steps(len(loader), settings)):
        for rank, feed in enumerate(feeds):
            found = feed.next()
            events += found.quarantined
            for pack, (number, counts) in zip(
                found.packs, rank_packs(step_packs(step, len(loader), settings), rank, 2), strict=True
            ):
                good = [name for name in loader.pack(number).sample_ids if name not in bad]
                if good:
                    assert list(pack.batch.sample_ids) == good
                    assert pack.counts == counts
                else:
                    assert pack.batch.sample_ids == ("",)
                    assert not pack.counts
                    assert pack.denominator == 0
                    assert not pack.weights.any()
    for feed in feeds:
        feed.close()
    assert {event.reason for event in events} == {"sample_changed"}
    uses = [(number, name) for number in range(len(loader)) for name in loader.pack(number).sample_ids if name in bad]
    assert sorted((event.pack, event.sample_id) for event in events) == sorted(uses)
    assert sum(number == 2 for number, _ in uses) == len(bad)


def event(number: int) -> QuarantineEvent:
    return QuarantineEvent(number, f"s{number}", "web", "corrupt_image", f"image {number} is cut")


def test_a_few_bad_samples_never_stop_a_stage_but_one_in_a_hundred_does():
    few, many = QuarantineLimit(), QuarantineLimit()
    few.take(19, [event(number) for number in range(19)])
    many.take(2000, [event(number) for number in range(20)])
    with pytest.raises(AerieError, match=r"21 of 2008 samples .* The first: s0 of 'web': image 0 is cut; s1 .*; s2"):
        many.take(8, [event(20)])
    with pytest.raises(AerieError, match="20 of 20 samples can't be trained on, more than 1%"):
        few.take(1, [event(19)])


TRAINER = """
import multiprocessing, os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_feed import open_loader
from model.recipe import load_recipe
from model.training.feeding.feed import StepFeed

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: None)
    run = Path({run!r})
    settings = load_recipe(str(run / "recipe.yaml")).stages["stage_1_5"]
    feed = StepFeed(open_loader(run), settings, rank=0, world=1, workers=1)
    feed.next()
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    sys.stdin.readline()
    for _ in range(9):  # more than lay ready
        feed.next()
    print("went on", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the workers in /proc")
def test_workers_outlive_a_polite_signal_to_the_group_but_not_their_trainer(training_folder, tmp_path):
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER.format(tests=str(Path(__file__).parent), run=str(training_folder)))
    trainer = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    [worker] = map(int, trainer.stdout.readline().split())
    os.killpg(trainer.pid, signal.SIGTERM)  # as torchrun does; the trainer finishes its step and saves
    trainer.stdin.write("\n")
    trainer.stdin.flush()
    assert trainer.stdout.readline() == "went on\n"
    trainer.kill()
    trainer.wait()
    patience = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < patience, "a worker outlives its trainer"
        time.sleep(0.05)
