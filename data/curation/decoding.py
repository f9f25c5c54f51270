"""Encoded pictures to the pixels that a network takes, decoded ahead of it.

Without a GPU threads decode: the network keeps the cores busy anyway. With one, its JPEG decoder takes most pictures
and processes take the rest.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from data.curation.ahead import PIECE, batches_ahead
from data.curation.cores import usable_cores
from data.curation.jpeg_gpu import decoded_on_cores, decoded_on_gpu, is_plain_jpeg, placed_on_gpu
from data.curation.picture_encoders import Preparation
from data.images import ImageProblemError, decode_image, pixel_hash
from data.shardwise import worker_pool

GPU_THREADS = 2  # one decodes while the other resizes


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """An image file; `pixels` is the hash of its pixels, if the validation step has decoded it."""

    payload: bytes
    pixels: str | None


@dataclass(frozen=True, slots=True)
class ReadyPicture:
    """`network` is uint8 [size, size, 3], an array or a tensor on the GPU; `pixels` the hash of the decoded pixels."""

    network: Any
    pixels: str


Ready = ReadyPicture | str  # or what is wrong with the file


def ready_pictures(prepare: Preparation, pictures: Sequence[EncodedPicture]) -> list[Ready]:
    """What the network sees of each picture, and the hash of all its pixels; or what is wrong with it."""
    return [
        _ready_jpeg(prepare, picture) if is_known_jpeg(picture) else _ready(prepare, picture) for picture in pictures
    ]


def is_known_jpeg(picture: EncodedPicture) -> bool:
    """Whether it was decoded before and may be decoded without Pillow, whose checks find any damage."""
    return picture.pixels is not None and is_plain_jpeg(picture.payload)


def _ready_jpeg(prepare: Preparation, picture: EncodedPicture) -> Ready:
    try:
        return ReadyPicture(prepare.of_planes(decoded_on_cores(picture.payload)), picture.pixels or "")
    except RuntimeError:  # it was changed since: Pillow says how
        return _ready(prepare, picture)


def _ready(prepare: Preparation, picture: EncodedPicture) -> Ready:
    try:
        image = decode_image(picture.payload)
    except ImageProblemError as problem:
        return str(problem)
    return ReadyPicture(prepare(image), picture.pixels or pixel_hash(image))


def ready_in_process(prepare: Preparation, pictures: Sequence[EncodedPicture]) -> list[Ready]:
    """`ready_pictures` where every core has a process: torch must not start as many threads in each."""
    import torch

    torch.set_num_threads(1)
    return ready_pictures(prepare, pictures)


class CoreDecoder:
    """Decodes on the processor's cores by threads."""

    def __init__(self, prepare: Preparation) -> None:
        self._work, self._pool = partial(ready_pictures, prepare), ThreadPoolExecutor(usable_cores())

    def batches(self, pictures: Sequence[EncodedPicture], batch_size: int) -> Iterator[list[Ready]]:
        """All pictures in order, `batch_size` at a time."""
        return batches_ahead(self._work, pictures, batch_size=batch_size, pool=self._pool)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


class GpuDecoder:
    """Decodes on the GPU what it decodes well, the rest by processes: Pillow holds Python's lock.

    An H100 decodes 14,000 pictures of 640 x 480 a second, 6,000 while SSCD's network runs beside it. To give the cores
    a share of them brings nothing: one process's Python is then the limit.
    """

    def __init__(self, prepare: Preparation) -> None:
        self._prepare, self._work = prepare, partial(ready_in_process, prepare)
        self._threads = ThreadPoolExecutor(GPU_THREADS)
        self._processes = worker_pool(usable_cores())

    def batches(self, pictures: Sequence[EncodedPicture], batch_size: int) -> Iterator[list[Ready]]:
        """All pictures in order, `batch_size` at a time; pixels are tensors on the GPU."""
        return batches_ahead(self._ready, pictures, batch_size=batch_size, pool=self._threads, piece=batch_size)

    def _ready(self, pictures: Sequence[EncodedPicture]) -> list[Ready]:
        """A batch. The GPU overlooks damage, so it gets only what was decoded before."""
        chosen = [number for number, picture in enumerate(pictures) if is_known_jpeg(picture)]
        others = sorted(set(range(len(pictures))) - set(chosen))
        errands = [
            self._processes.submit(self._work, [pictures[number] for number in others[at : at + PIECE]])
            for at in range(0, len(others), PIECE)
        ]
        payloads = [pictures[number].payload for number in chosen]
        decoded = decoded_on_gpu(payloads, self._prepare.size, self._prepare.mode)
        found: dict[int, Ready] = {
            number: ReadyPicture(pixels, pictures[number].pixels or "")
            for number, pixels in zip(chosen, decoded, strict=True)
        }
        found.update(zip(others, _on_gpu([one for errand in errands for one in errand.result()]), strict=True))
        return [found[number] for number in range(len(pictures))]

    def close(self) -> None:
        """End the threads and the processes."""
        self._threads.shutdown()
        self._processes.shutdown()


def _on_gpu(ready: list[Ready]) -> list[Ready]:
    """The same pictures, their pixels on the GPU; problems stay."""
    usable = [one for one in ready if isinstance(one, ReadyPicture)]
    placed = iter(placed_on_gpu([one.network for one in usable]))
    return [one if isinstance(one, str) else ReadyPicture(next(placed), one.pixels) for one in ready]


def stacked(pixels: Sequence[Any]) -> Any:
    """uint8 [B, size, size, 3]: an array of arrays, a tensor of tensors."""
    if isinstance(pixels[0], np.ndarray):
        return np.stack(pixels)
    import torch

    return torch.stack(list(pixels))
