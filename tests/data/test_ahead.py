"""Work done ahead by threads."""

import threading
import time

import pytest

from data.curation.ahead import BATCHES_AHEAD, batches_ahead


@pytest.mark.parametrize(("items", "batch_size"), [(0, 4), (1, 4), (4, 4), (23, 4), (23, 1), (23, 100)])
def test_every_result_comes_once_in_order(items, batch_size):
    def slow_at_first(item):
        time.sleep(0.01 if item % 5 == 0 else 0)
        return -item

    found = list(batches_ahead(slow_at_first, range(items), batch_size=batch_size, threads=3))
    assert [value for batch in found for value in batch] == [-item for item in range(items)]
    assert all(len(batch) == batch_size for batch in found[:-1])


def test_no_more_than_the_batches_ahead_are_begun():
    begun: list[int] = []
    batches = batches_ahead(lambda item: begun.append(item) or item, range(1000), batch_size=10, threads=2)
    next(batches)
    time.sleep(0.1)
    assert len(begun) <= 10 * (BATCHES_AHEAD + 1)
    batches.close()


def test_an_error_comes_out_and_ends_the_work():
    done: list[int] = []
    lock = threading.Lock()

    def work(item):
        if item == 13:
            raise ValueError("the thirteenth")
        time.sleep(0.001)
        with lock:
            done.append(item)
        return item

    with pytest.raises(ValueError, match="the thirteenth"):
        list(batches_ahead(work, range(10_000), batch_size=5, threads=2))
    assert len(done) < 100
