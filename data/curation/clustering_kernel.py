"""Sums of the rows of each cluster, in the order given: the same bits in every run."""

from typing import Any

import triton
import triton.language as tl

ROWS, COLUMNS = tl.constexpr(32), tl.constexpr(128)


@triton.jit
def _sums(rows, order, bounds, sums, width):
    cluster, column = tl.program_id(0), tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    first, end = tl.load(bounds + cluster), tl.load(bounds + cluster + 1)
    total = tl.zeros((COLUMNS,), tl.float32)
    for at in range(first, end, ROWS):
        place = at + tl.arange(0, ROWS)
        row = tl.load(order + place, mask=place < end, other=0)
        inside = (place < end)[:, None] & (column < width)[None, :]
        block = tl.load(rows + row[:, None] * width + column[None, :], mask=inside, other=0.0)
        total += tl.sum(block.to(tl.float32), 0)
    tl.store(sums + cluster.to(tl.int64) * width + column, total, mask=column < width)


def cluster_sums(rows: Any, order: Any, bounds: Any) -> Any:
    """float32 [K, D] from rows [N, D], `order` int64 [N] (rows by cluster) and `bounds` int64 [K + 1] into it."""
    import torch

    clusters, width = len(bounds) - 1, rows.shape[1]
    sums = torch.empty((clusters, width), dtype=torch.float32, device=rows.device)
    _sums[(clusters, triton.cdiv(width, COLUMNS.value))](rows, order, bounds, sums, width)
    return sums
