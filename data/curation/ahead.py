"""Work that is done ahead by threads, in batches and in order: pictures are decoded while the network is busy.

A GPU encodes some thousands of pictures a second, one core decodes some hundreds. Pillow and hashlib let go of
Python's lock while they work, so threads use all cores, and no pixel is copied between processes.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")
BATCHES_AHEAD = 3


def batches_ahead(
    work: Callable[[Item], Done], items: Sequence[Item], *, batch_size: int, threads: int
) -> Iterator[list[Done]]:
    """`work(item)` of every item, `batch_size` results at a time, in order.

    At most `BATCHES_AHEAD` batches are done or in work beyond the one that the caller has. An error of `work` is
    raised here, and nothing new is begun.
    """
    with ThreadPoolExecutor(threads) as pool:
        flying: deque[list[Future[Done]]] = deque()
        starts = iter(range(0, len(items), batch_size))
        try:
            for start in starts:
                flying.append([pool.submit(work, item) for item in items[start : start + batch_size]])
                if len(flying) > BATCHES_AHEAD:
                    yield [future.result() for future in flying.popleft()]
            while flying:
                yield [future.result() for future in flying.popleft()]
        finally:
            pool.shutdown(cancel_futures=True)
