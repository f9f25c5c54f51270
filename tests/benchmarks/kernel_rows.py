"""Rows of the benchmarks of single kernels: printed as they come, kept for the end; errors don't stop the rest."""

import statistics
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

Row = dict[str, Any]
rows: list[Row] = []
failures: list[str] = []


def show(row: Row) -> None:
    """Keep a row and print it at once, to stderr, so that a later crash loses nothing."""
    rows.append(row)
    print(" ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in
                   row.items()), file=sys.stderr, flush=True)  # fmt: skip


@contextmanager
def guarded(name: str) -> Iterator[None]:
    """Print an error and go on."""
    try:
        yield
    except Exception as error:
        failures.append(name)
        lines = traceback.format_exc().splitlines()
        print(f"FAILED {name}: {type(error).__name__}", *lines[-12:], sep="\n", file=sys.stderr, flush=True)
        torch.cuda.empty_cache()


def milliseconds(function: Callable[[], object], budget: float = 60.0) -> float:
    """The median time of a call, of three runs of 2 to 20 calls that fit `budget` ms.

    The device sleeps first while the calls are queued: the time is the device's, not Python's.
    """
    function()

    def timed(calls: int) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        torch.cuda._sleep(20_000_000)
        start.record()
        for _ in range(calls):
            function()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / calls

    calls = max(2, min(20, int(budget / 3 / max(timed(1), 1e-3))))
    return statistics.median([timed(calls) for _ in range(3)])
