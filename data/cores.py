"""How many cores a step may use, and matrix products that leave the threading to their caller."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def given_cores() -> int:
    """Cores of this process: its affinity and its container's CPU quota count."""
    import joblib

    return int(joblib.cpu_count())


def usable_cores() -> int:
    """`given_cores`, or OMP_NUM_THREADS if it is lower: how many threads of one process."""
    cores = given_cores()
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(wanted))) if wanted.isdecimal() else cores


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Each matrix product inside runs on the thread that calls it.

    Threads of ours that work on tiles of their own also share the passes between the products; threads inside a
    product wait for each other after each, and leave those passes to one core.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
