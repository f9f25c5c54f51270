"""Work that is done ahead by other threads or processes, in batches and in order.

Pictures are decoded while the network is busy: a GPU encodes some thousands a second, one core decodes some hundreds.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")
BATCHES_AHEAD = 3
PIECE = 16  # items in one errand: with a single one, a process would spend its time on fetching it


def batches_ahead(
    begin: Callable[[Sequence[Item]], Future[list[Done]]], items: Sequence[Item], *, batch_size: int
) -> Iterator[list[Done]]:
    """Results of all items, `batch_size` at a time, in order; `begin` gets `PIECE` items, or fewer at a batch's end.

    At most `BATCHES_AHEAD` batches are done or in work beyond the one that the caller has. An error of the work is
    raised here, and nothing new is begun.
    """
    flying: deque[list[Future[list[Done]]]] = deque()
    try:
        for start in range(0, len(items), batch_size):
            batch = items[start : start + batch_size]
            flying.append([begin(batch[at : at + PIECE]) for at in range(0, len(batch), PIECE)])
            if len(flying) > BATCHES_AHEAD:
                yield list(chain.from_iterable(future.result() for future in flying.popleft()))
        while flying:
            yield list(chain.from_iterable(future.result() for future in flying.popleft()))
    finally:
        for future in chain.from_iterable(flying):
            future.cancel()


def in_order(work: Callable[[Item], Done], items: Iterable[Item], threads: int) -> Iterator[Done]:
    """`work` of each item, in order; with the one that the caller has, no more than `threads` results exist."""
    flying: deque[Future[Done]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                flying.append(pool.submit(work, item))
                if len(flying) == threads:
                    yield flying.popleft().result()
            while flying:
                yield flying.popleft().result()
        finally:
            for future in flying:
                future.cancel()


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, each fetched by a thread while the caller has the one before it."""
    source = iter(items)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(lambda: next(source, None))
        while (item := coming.result()) is not None:
            coming = thread.submit(lambda: next(source, None))
            yield item


def started_ahead(begun: Iterable[Callable[[], Done]]) -> Iterator[Done]:
    """What each call gives, made only after the next one was begun: a device never waits for its results' reader."""
    waiting: Callable[[], Done] | None = None
    for result in begun:
        if waiting is not None:
            yield waiting()
        waiting = result
    if waiting is not None:
        yield waiting()
