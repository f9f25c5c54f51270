"""Work done ahead by threads or processes."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from data.curation.ahead import BATCHES_AHEAD, batches_ahead, in_order, one_ahead, started_ahead
from data.shardwise import worker_pool


@pytest.fixture
def pool():
    with ThreadPoolExecutor(3) as threads:
        yield threads


def negative(items):
    time.sleep(0.01 if items[0] % 5 == 0 else 0)
    return [-item for item in items]


@pytest.mark.parametrize(("items", "batch_size"), [(0, 4), (1, 4), (4, 4), (23, 4), (23, 1), (100, 40), (100, 200)])
def test_every_result_comes_once_in_order(pool, items, batch_size):
    found = list(batches_ahead(partial(pool.submit, negative), range(items), batch_size=batch_size))
    assert [value for batch in found for value in batch] == [-item for item in range(items)]
    assert all(len(batch) == batch_size for batch in found[:-1])


def test_processes_do_the_same():
    with worker_pool(2) as processes:
        found = list(batches_ahead(partial(processes.submit, sorted), list(range(100)), batch_size=40))
    assert found == [list(range(40)), list(range(40, 80)), list(range(80, 100))]


def test_no_more_than_the_batches_ahead_are_begun(pool):
    begun: list[int] = []

    def work(items):
        begun.extend(items)
        return list(items)

    batches = batches_ahead(partial(pool.submit, work), range(1000), batch_size=10)
    next(batches)
    time.sleep(0.1)
    assert len(begun) <= 10 * (BATCHES_AHEAD + 1)
    batches.close()


def test_an_error_comes_out_and_ends_the_work(pool):
    done: list[int] = []
    lock = threading.Lock()

    def work(items):
        if 13 in items:
            raise ValueError("the thirteenth")
        time.sleep(0.001)
        with lock:
            done.extend(items)
        return list(items)

    with pytest.raises(ValueError, match="the thirteenth"):
        list(batches_ahead(partial(pool.submit, work), range(10_000), batch_size=5))
    time.sleep(0.05)
    assert len(done) < 100


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [0, 2, 20])
def test_threads_give_results_in_order_and_no_more_than_may_exist(count, threads):
    begun: list[int] = []

    def work(number):
        begun.append(number)
        time.sleep(0.002 * (number % 3))
        return -number

    seen = []
    for result in in_order(work, range(count), threads):
        time.sleep(0.001)
        assert len(begun) <= len(seen) + threads
        seen.append(result)
    assert seen == [-number for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_one_ahead_gives_the_same_items_and_fetches_no_more_than_the_next(count):
    fetched: list[int] = []
    source = (fetched.append(number) or number for number in range(count))
    seen = []
    for number in one_ahead(source):
        time.sleep(0.01)
        assert len(fetched) <= number + 2
        seen.append(number)
    assert seen == list(range(count))


def test_one_ahead_raises_the_sources_error_after_what_came_before_it():
    def source():
        yield 1
        raise ValueError("the second")

    coming = one_ahead(source())
    assert next(coming) == 1
    with pytest.raises(ValueError, match="the second"):
        next(coming)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_each_result_is_read_after_the_next_was_started(count):
    events: list[str] = []

    def begun():
        for number in range(count):
            events.append(f"start {number}")
            yield lambda number=number: events.append(f"read {number}") or number

    assert list(started_ahead(begun())) == list(range(count))
    order = [event for number in range(count) for event in (f"start {number}", f"read {number - 1}")][:1]
    order += [event for number in range(1, count) for event in (f"start {number}", f"read {number - 1}")]
    assert events == order + [f"read {count - 1}"] * (count > 0)
