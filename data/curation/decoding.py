"""Encoded pictures to the pixels that a network takes, decoded ahead of it.

Here threads do it, for a network on the processor, which keeps the cores busy anyway; `process_decoder` feeds a GPU.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from data.cores import usable_cores
from data.curation.ahead import batches_ahead
from data.curation.picture_encoders import Preparation
from data.curation.plain_jpeg import decoded_jpeg, plain_jpeg
from data.images import ImageProblemError, decode_image, pixel_hash


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


class Decoder(Protocol):
    """Decodes pictures while the network is busy with those before them."""

    def batches(self, pictures: Sequence[EncodedPicture]) -> Iterator[list[Ready]]:
        """All pictures in order, a batch at a time; the last batch may be smaller."""
        ...

    def close(self) -> None:
        """End the threads or processes."""
        ...


def decoded(picture: EncodedPicture, room: np.ndarray | None = None) -> tuple[np.ndarray, str] | str:
    """(uint8 [height, width, 3], the hash of the pixels), or what is wrong with the file.

    A plain JPEG lies in `room` (uint8 [N]) if there is enough of it. What was decoded before needs no Pillow, whose
    checks find any damage.
    """
    if picture.pixels is not None and (header := plain_jpeg(picture.payload)) is not None:
        fits = room is not None and header.height * header.width * 3 <= len(room)
        try:
            return decoded_jpeg(picture.payload, header, room if fits else None), picture.pixels
        except ValueError:
            pass  # it was changed since: Pillow says how
    try:
        image = decode_image(picture.payload)
    except ImageProblemError as problem:
        return str(problem)
    return np.asarray(image), picture.pixels or pixel_hash(image)


def ready_pictures(prepare: Preparation, pictures: Sequence[EncodedPicture]) -> list[Ready]:
    """What the network sees of each picture, and the hash of all its pixels; or what is wrong with it."""
    found = (decoded(picture) for picture in pictures)
    return [one if isinstance(one, str) else ReadyPicture(prepare(one[0]), one[1]) for one in found]


class ThreadDecoder:
    """Decodes and makes smaller by threads."""

    def __init__(self, prepare: Preparation, batch_size: int) -> None:
        self._prepare, self._batch_size = prepare, batch_size
        self._pool = ThreadPoolExecutor(usable_cores())

    def batches(self, pictures: Sequence[EncodedPicture]) -> Iterator[list[Ready]]:
        """All pictures in order; pixels are arrays."""
        return batches_ahead(self._begin, pictures, batch_size=self._batch_size)

    def _begin(self, pictures: Sequence[EncodedPicture]) -> Future[list[Ready]]:
        return self._pool.submit(ready_pictures, self._prepare, pictures)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def stacked(pixels: Sequence[Any]) -> Any:
    """uint8 [B, size, size, 3]: an array of arrays, a tensor of tensors."""
    if isinstance(pixels[0], np.ndarray):
        return np.stack(pixels)
    import torch

    return torch.stack(list(pixels))
