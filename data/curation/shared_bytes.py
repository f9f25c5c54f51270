"""Memory that this process shares with its workers, as one array of bytes."""

import mmap
import os
from collections.abc import Callable
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np


class SharedBytes:
    """`array` is uint8 [size]; a worker that gets this object at its start sees the same bytes.

    Without a file system: containers often leave /dev/shm no more than 64 MB. The memory is free once the last process
    that maps it has ended.
    """

    def __init__(self, size: int, descriptor: int | None = None) -> None:
        self._descriptor = os.memfd_create("aerie-pictures") if descriptor is None else descriptor
        if descriptor is None:
            os.ftruncate(self._descriptor, size)
        # Populated at once: a page that is first touched while decoding costs more.
        self._map = mmap.mmap(self._descriptor, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        self.array = np.frombuffer(self._map, np.uint8)

    def __reduce__(self) -> tuple[Callable[..., "SharedBytes"], tuple[int, Any]]:
        return _attached, (len(self.array), DupFd(self._descriptor))

    def close(self) -> None:
        """Let go of the descriptor; the bytes live as long as `array` does."""
        os.close(self._descriptor)


def _attached(size: int, descriptor: Any) -> SharedBytes:
    return SharedBytes(size, descriptor.detach())
