"""Processes that decode pictures into memory which they share with this one: neither files nor pixels are pickled.

The memory is a ring of slots, a slot for each errand of a few pictures: their files first, then room for their pixels.
What a slot has no room for goes along with the errand (a file) or is made smaller by the process (a picture), to the
same pixels.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial

import numpy as np

from data.cores import usable_cores
from data.curation.ahead import BATCHES_AHEAD, PIECE, batches_ahead
from data.curation.decoding import EncodedPicture, decoded
from data.curation.picture_encoders import Preparation
from data.curation.shared_bytes import SharedBytes
from data.errors import AerieError
from data.shardwise import worker_pool

FILES_ROOM = PIECE << 17  # bytes of a slot for files: 128 KiB each
PICTURE_ROOM = 1 << 20  # bytes of a slot for each picture: 640 x 480 x 3 fit


@dataclass(frozen=True, slots=True)
class PlacedPicture:
    """uint8 [height, width, 3] at byte `start` of the shared memory; `pixels` is the hash of the decoded pixels."""

    start: int
    height: int
    width: int
    pixels: str

    @property
    def stop(self) -> int:
        """The byte after the last one."""
        return self.start + 3 * self.height * self.width

    def of(self, shared: np.ndarray) -> np.ndarray:
        """The pixels, a view."""
        return shared[self.start : self.stop].reshape(self.height, self.width, 3)


Placed = PlacedPicture | str  # or what is wrong with the file


@dataclass(frozen=True, slots=True)
class Errand:
    """Files of one slot: (bytes in the shared memory or the file itself, hash of its pixels if it is known)."""

    slot: int
    files: tuple[tuple[range | bytes, str | None], ...]


@dataclass(frozen=True, slots=True)
class Slots:
    """Where the slots lie in the shared memory."""

    pixels: int

    @classmethod
    def of(cls, prepare: Preparation) -> "Slots":
        """Slots with room for every picture, once it is made smaller at least."""
        return cls(PIECE * max(PICTURE_ROOM, 3 * prepare.size**2))

    def files_of(self, slot: int) -> range:
        """The bytes for files."""
        start = slot * (FILES_ROOM + self.pixels)
        return range(start, start + FILES_ROOM)

    def pixels_of(self, slot: int) -> range:
        """The bytes for pixels."""
        start = self.files_of(slot).stop
        return range(start, start + self.pixels)


class DecodingPool:
    """As many processes as there are cores. `shared` is uint8 [N]; it may be pinned, but must not be written to."""

    def __init__(self, prepare: Preparation, batch_size: int) -> None:
        count = (BATCHES_AHEAD + 1) * -(-batch_size // PIECE)  # with the batch that the caller has
        self._slots, self._batch_size = Slots.of(prepare), batch_size
        self._memory = SharedBytes(self._slots.pixels_of(count - 1).stop)
        self._pool = worker_pool(usable_cores(), partial(_begin, self._memory, self._slots, prepare))
        self._order = deque((slot, Future[list[Placed]]()) for slot in range(count))
        for _, nothing in self._order:
            nothing.set_result([])
        self.shared = self._memory.array
        self._bytes = self.shared.data  # takes a file without numpy's detours

    def batches(self, pictures: Sequence[EncodedPicture]) -> Iterator[list[Placed]]:
        """All pictures in order, a batch at a time; each lies where it is until the next batch is asked for.

        `AerieError` when a process was killed.
        """
        try:
            yield from batches_ahead(self._begin, pictures, batch_size=self._batch_size)
        except BrokenProcessPool as error:
            raise AerieError(
                f"a process that decodes pictures died, probably killed for lack of memory; {len(pictures)} pictures "
                "were in work: give the step more memory or a smaller batch_size, then run it again"
            ) from error

    def _begin(self, pictures: Sequence[EncodedPicture]) -> Future[list[Placed]]:
        """Decode at most `PIECE` pictures into the slot whose turn it is."""
        slot, before = self._order.popleft()
        if not before.cancelled():  # else no process ever took it
            wait([before])  # it is done, unless somebody gave up waiting for it
        files = self._slots.files_of(slot)
        listed: list[tuple[range | bytes, str | None]] = []
        at = files.start
        for picture in pictures:
            stop = at + len(picture.payload)
            if stop <= files.stop:
                self._bytes[at:stop] = picture.payload
                listed.append((range(at, stop), picture.pixels))
                at = stop
            else:
                listed.append((picture.payload, picture.pixels))
        future = self._pool.submit(_decode, Errand(slot, tuple(listed)))
        self._order.append((slot, future))
        return future

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)
        self._memory.close()


@dataclass(frozen=True, slots=True)
class _Workplace:
    """What a process is given at its start."""

    shared: np.ndarray
    slots: Slots
    prepare: Preparation

    def place(self, picture: EncodedPicture, room: range) -> Placed:
        """One picture at the start of the room, which may be all that is left."""
        bytes_left = self.shared[room.start : room.stop]
        found = decoded(picture, bytes_left)
        if isinstance(found, str):
            return found
        pixels, mark = found
        if pixels.size > len(bytes_left):
            pixels = self.prepare(pixels)
        height, width, _ = pixels.shape
        placed = PlacedPicture(room.start, height, width, mark)
        target = placed.of(self.shared)
        if not np.shares_memory(target, pixels):
            target[:] = pixels
        return placed


_HERE: list[_Workplace] = []  # of this process


def _begin(memory: SharedBytes, slots: Slots, prepare: Preparation) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # every core has a process; torch is loaded later, if at all
    _HERE.append(_Workplace(memory.array, slots, prepare))


def _decode(errand: Errand) -> list[Placed]:
    """The pictures one behind the other; each leaves those behind it the room that they need at least."""
    (here,) = _HERE
    room = here.slots.pixels_of(errand.slot)
    least, at = 3 * here.prepare.size**2, room.start
    found: list[Placed] = []
    for number, (file, mark) in enumerate(errand.files):
        payload = file if isinstance(file, bytes) else here.shared[file.start : file.stop].tobytes()
        stop = room.stop - least * (len(errand.files) - number - 1)
        found.append(here.place(EncodedPicture(payload, mark), range(at, stop)))
        if not isinstance(found[-1], str):
            at = found[-1].stop
    return found
