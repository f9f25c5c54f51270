"""Pictures for a GPU: worker processes decode and resize, while the network works on the batch before.

A GPU takes some thousands of pictures a second, one core decodes some hundreds. The workers are those of torch's
DataLoader; a batch travels through shared memory and from pinned memory to the device.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from data.curation.encoder_parts import normalised
from data.curation.picture_encoders import PictureNetwork
from data.images import ImageProblemError, decode_image

PREFETCH = 2  # batches that each worker keeps ready
Prepare = Callable[[Image.Image], np.ndarray]  # a decoded picture -> uint8 [S, S, 3]


class EncodedPictures:
    """Encoded image files as a map-style data set: uint8 [S, S, 3] of each, or what is wrong with it."""

    def __init__(self, files: Sequence[bytes], prepare: Prepare) -> None:
        self._files, self._prepare = files, prepare

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> np.ndarray | str:
        try:
            return self._prepare(decode_image(self._files[index]))
        except ImageProblemError as problem:
            return str(problem)


def _stacked(items: list[np.ndarray | str]) -> tuple[Any, dict[int, str]]:
    """(uint8 tensor [B, S, S, 3], problem by place in the batch); a broken picture is black."""
    import torch

    problems = {place: item for place, item in enumerate(items) if isinstance(item, str)}
    good = [item for item in items if not isinstance(item, str)]
    blank = np.zeros_like(good[0]) if good else np.zeros((1, 1, 3), np.uint8)
    return torch.from_numpy(np.stack([blank if isinstance(item, str) else item for item in items])), problems


def picture_batches(
    files: Sequence[bytes], prepare: Prepare, *, batch_size: int, workers: int
) -> Iterator[tuple[Any, dict[int, str]]]:
    """Batches in the order of `files`, in pinned memory where there is a GPU; see `_stacked`."""
    import torch
    from torch.utils.data import DataLoader

    loader: Any = DataLoader(
        EncodedPictures(files, prepare),  # type: ignore[arg-type]
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=_stacked,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=PREFETCH if workers else None,
    )
    yield from loader


def encoded(batches: Iterator[tuple[Any, dict[int, str]]], network: PictureNetwork) -> Iterator[np.ndarray]:
    """float32 [B, D] of length 1 for each batch of `picture_batches`.

    Vectors are fetched one batch late: the device already has its next batch when the host waits for the last one.
    """
    waiting: Any = None
    for pixels, _ in batches:
        features = network.features(pixels)
        if waiting is not None:
            yield normalised(waiting.float().cpu().numpy())
        waiting = features
    if waiting is not None:
        yield normalised(waiting.float().cpu().numpy())
