"""A late step leaves the stacks of its threads, once; an ordinary one nothing."""

import threading

import pytest

from model.training.watchdog import KNOWN, Watchdog


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watchdog(tmp_path, clock):
    made = Watchdog("stage_1", str(tmp_path), 3, least_seconds=60, first_seconds=500, look_seconds=1e6, clock=clock)
    yield made
    made.close()


def learn(watchdog, clock, seconds=8.0):
    for number in range(KNOWN):
        with watchdog.step(f"step {number}"):
            clock.now += seconds


def test_a_late_step_is_told_once_with_stacks_and_packs(watchdog, clock, tmp_path, capsys):
    learn(watchdog, clock)
    assert watchdog.limit() == 80
    for number in (7, 8):
        with watchdog.step(f"step {number} (packs 12 to 13)"):
            clock.now += 79
            watchdog.look()
            assert capsys.readouterr().out == ""
            clock.now += 2
            watchdog.look()
            said = capsys.readouterr().out
            watchdog.look()
            assert capsys.readouterr().out == ""
        assert said.startswith(
            f"stage_1  rank 3: step {number} (packs 12 to 13) takes 81 s (the median is 8.0 s); stacks"
        )
        clock.now += 1000
        watchdog.look()  # between two steps nothing is late
    stacks = (tmp_path / "stacks-rank3.txt").read_text()
    assert stacks.count("rank 3: step") == 2
    assert "test_a_late_step_is_told_once_with_stacks_and_packs" in stacks


def test_short_steps_get_a_minute_and_the_first_ones_the_time_to_compile(watchdog, clock):
    assert watchdog.limit() == 500
    learn(watchdog, clock, 0.1)
    assert watchdog.limit() == 60


def test_stacks_that_cannot_be_written_go_to_standard_error(tmp_path, clock, capsys):
    (tmp_path / "file").write_text("")
    watchdog = Watchdog("stage_1", str(tmp_path / "file"), 0, first_seconds=60, look_seconds=1e6, clock=clock)
    with watchdog.step("step 1"):
        clock.now += 61
        watchdog.look()
    watchdog.close()
    shown = capsys.readouterr()
    assert "stacks of all threads are in standard error" in shown.out
    assert "test_stacks_that_cannot_be_written_go_to_standard_error" in shown.err


def test_its_thread_sees_a_step_that_hangs(tmp_path):
    """Real time and a real hang: the main thread waits until the stacks are there."""
    watchdog = Watchdog("stage_1", str(tmp_path), 0, least_seconds=0, first_seconds=0, look_seconds=0.01)
    ended, stacks = threading.Event(), tmp_path / "stacks-rank0.txt"
    with watchdog.step("step 1"):
        for _ in range(3000):
            if stacks.exists() or ended.wait(0.01):
                break
    watchdog.close()
    assert "test_its_thread_sees_a_step_that_hangs" in stacks.read_text()
    assert not watchdog._thread.is_alive()
