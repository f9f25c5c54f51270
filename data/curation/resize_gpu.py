"""Decoded pictures of any sizes, in pinned memory, to a batch of one size on the GPU: the bytes of `Preparation`."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data.curation.decoding_pool import PlacedPicture
from data.curation.picture_encoders import Preparation
from data.curation.resize_tables import resize_table

PROGRAMS = 32  # of each picture


def resized(shared: Any, pictures: Sequence[PlacedPicture], prepare: Preparation, device: Any = "cuda") -> Any:
    """uint8 [B, size, size, 3] on the device; `shared` is the memory in which the pictures lie, a tensor uint8 [N].

    Begun on the current stream, and not waited for: the memory must stay as it is until then.
    """
    import torch

    from data.curation import resize_kernel

    size = prepare.size
    plan, tables, narrow_bytes = layout(pictures, prepare)
    plan, tables = (_sent(torch.from_numpy(one), device) for one in (plan, tables))
    runs = list(_runs(pictures))
    pixels = torch.empty(sum(map(len, runs)), dtype=torch.uint8, device=device)
    at = 0
    for run in runs:
        pixels[at : at + len(run)].copy_(shared[run.start : run.stop], non_blocking=True)
        at += len(run)
    narrow = torch.empty(narrow_bytes, dtype=torch.uint8, device=device)
    found = torch.empty((len(pictures), size, size, 3), dtype=torch.uint8, device=device)
    grid = (len(pictures), PROGRAMS)
    resize_kernel.along[grid](pixels, plan, tables, narrow, size=size)
    resize_kernel.down[grid](narrow, plan, tables, found, size=size)
    return found


def layout(pictures: Sequence[PlacedPicture], prepare: Preparation) -> tuple[np.ndarray, np.ndarray, int]:
    """(int64 [B, 10] as resize_kernel.py reads it, int32 tables one behind the other, bytes between both passes)."""
    size = prepare.size
    lengths = sorted({length for picture in pictures for length in (picture.height, picture.width)})
    blocks: list[np.ndarray] = []
    placed: dict[int, tuple[int, int, int]] = {}
    at = 0
    for length in lengths:
        table = resize_table(length, size, prepare.mode)
        placed[length] = (at, len(table.weights), table.bits)
        blocks += [table.first, table.weights.reshape(-1)]
        at += size * (1 + len(table.weights))
    rows = []
    source = narrow = 0
    for picture in pictures:
        height, width = picture.height, picture.width
        rows.append((source, width, height, narrow, *placed[width], *placed[height]))
        source += picture.stop - picture.start
        narrow += height * size * 3
    return np.array(rows, np.int64), np.concatenate(blocks), narrow


def _runs(pictures: Sequence[PlacedPicture]) -> Iterator[range]:
    """The pictures' bytes; neighbours are copied together."""
    start, stop = pictures[0].start, pictures[0].stop
    for picture in pictures[1:]:
        if picture.start != stop:
            yield range(start, stop)
            start = picture.start
        stop = picture.stop
    yield range(start, stop)


def _sent(small: Any, device: Any) -> Any:
    """A small tensor on the device; on a pinned copy nobody waits."""
    return small.pin_memory().to(device, non_blocking=True) if str(device).startswith("cuda") else small
