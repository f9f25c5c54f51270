"""Eq. 1 on a GPU: the pool streams through in chunks, and the kernel keeps each new row's nearest pool row.

The product is never written to memory. The kernel finds the neighbour with fp16 operands, fp32 sums and image cosines
rounded to fp16; the similarity of the pair that it found is then computed again from the vectors as they came, so
that CPU and GPU agree to float32 rounding wherever two pool rows are not as good as equal.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.cores import usable_cores
from data.curation.row_views import Vectors
from data.curation.similarity import Similarity, has_image

NEW_ROWS = 131_072  # new rows on the device at once: enough work for each pool row that crosses the bus
POOL_ROWS = 32_768  # pool rows in one launch
COPYING_THREADS = 4  # one thread copies a few GB/s from the page cache, the bus takes ten times that
PAIR_ROWS = 4096  # pairs whose similarity is computed again at once
HOPPER = (9, 0)


def gpu_available() -> bool:
    """Whether this process sees a GPU that the kernel is made for (compute capability 9.0: H100, H200)."""
    try:
        import torch
        import triton.experimental.gluon  # noqa: F401
    except ImportError:
        return False
    return torch.cuda.is_available() and torch.cuda.get_device_capability() == HOPPER


def pool_similarity_gpu(
    images: Vectors,
    texts: Vectors,
    pool_images: Vectors,
    pool_texts: Vectors,
    *,
    pool_rows: int = POOL_ROWS,
) -> Similarity:
    """The same as `data.curation.similarity.pool_similarity`, computed on the current CUDA device.

    Unit vectors [N, D_i], [N, D_t] against [M, D_i], [M, D_t], float16 or float32, memory-mapped or not; any N and M
    above 0. `best` is exact to 1e-3 of a float64 reference.
    """
    if not len(texts) or not len(pool_texts):
        raise ValueError("Eq. 1 needs at least one new sample and one pool sample")
    pictured = has_image(images)
    nearest = np.zeros(len(texts), np.int64)
    for with_image in (True, False):
        rows = np.flatnonzero(pictured == with_image)
        for at in range(0, len(rows), NEW_ROWS):
            block = rows[at : at + NEW_ROWS]
            place = slice(block[0], block[-1] + 1) if block[-1] - block[0] == len(block) - 1 else block  # no copy
            pair = (images[place] if with_image else None, texts[place])
            nearest[block] = _nearest(pair, pool_images if with_image else None, pool_texts, pool_rows)
    best = _pairs(images, texts, pool_images, pool_texts, pictured, nearest)
    return Similarity(score=float(best.mean(dtype=np.float64)), best=best, nearest=nearest)


def _pairs(
    images: Vectors,
    texts: Vectors,
    pool_images: Vectors,
    pool_texts: Vectors,
    pictured: np.ndarray,
    nearest: np.ndarray,
) -> np.ndarray:
    """float32 [N]: each row's product with its nearest pool row."""
    best = np.empty(len(texts), np.float32)

    def fill(at: int) -> None:
        block = slice(at, at + PAIR_ROWS)
        pictures = _row_cosines(images[block], pool_images[nearest[block]])
        best[block] = _row_cosines(texts[block], pool_texts[nearest[block]])
        best[block] *= np.where(pictured[block], pictures, np.float32(1))

    with ThreadPoolExecutor(usable_cores()) as threads:
        list(threads.map(fill, range(0, len(texts), PAIR_ROWS)))
    return best


def _row_cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    product = np.einsum("nd,nd->n", one.astype(np.float32, copy=False), other.astype(np.float32, copy=False))
    return np.minimum(product, np.float32(1))


def _nearest(
    new: tuple[np.ndarray | None, np.ndarray], pool_images: Vectors | None, pool_texts: Vectors, pool_rows: int
) -> np.ndarray:
    """int64 [N]: the nearest pool row. Without images both sides get one constant picture: the factor 1."""
    import torch

    images, texts = (_on_device(vectors, len(new[1])) for vectors in new)
    keys = torch.full((len(texts),), torch.iinfo(torch.int64).min, device="cuda")
    for start, pool in _chunks(pool_images, pool_texts, pool_rows):
        launch(images, texts, *pool, keys, start)
    low = (keys & 0xFFFFFFFF).cpu().numpy()
    # A chunk may repeat its last row; among negative products such a copy can come first.
    return np.minimum(0x7FFFFFFF - low, len(pool_texts) - 1)


def _on_device(vectors: np.ndarray | None, rows: int) -> Any:
    """fp16 [rows, D], D padded with zeros to a whole number of the kernel's steps."""
    import torch

    from data.curation.similarity_kernel import DEPTH

    if vectors is None:
        constant = torch.zeros((rows, DEPTH.value), dtype=torch.float16, device="cuda")
        constant[:, 0] = 1
        return constant
    return _padded(torch.tensor(vectors, device="cuda").half(), len(vectors))


def _padded(vectors: Any, rows: int) -> Any:
    """The vectors with zeros to a whole number of steps in width, and the last row repeated up to `rows`."""
    import torch

    from data.curation.similarity_kernel import DEPTH

    width = -vectors.shape[1] % DEPTH.value
    if width:
        vectors = torch.nn.functional.pad(vectors, (0, width))
    if rows > len(vectors):
        vectors = torch.cat([vectors, vectors[-1:].expand(rows - len(vectors), -1)])
    return vectors.contiguous()


@dataclass(slots=True)
class _Staging:
    """A pinned host buffer and the event after which it may be filled again."""

    buffer: Any
    free: Any


def _chunks(images: Vectors | None, texts: Vectors, rows: int) -> Iterator[tuple[int, tuple[Any, Any]]]:
    """(first row, (images, texts) on the device) of each chunk of the pool.

    The CPU fills one pinned buffer while the other crosses the bus and the kernel works on the chunk before. A chunk
    that isn't a whole number of the kernel's tiles repeats its last row: a copy never comes before its original.
    """
    import torch

    from data.curation.similarity_kernel import COLUMNS

    copying, threads = torch.cuda.Stream(), ThreadPoolExecutor(COPYING_THREADS)
    rows = min(rows, len(texts))
    rings = {
        name: [_Staging(torch.empty((rows, part.shape[1]), dtype=_dtype(part), pin_memory=True), None) for _ in (0, 1)]
        for name, part in (("images", images), ("texts", texts))
        if part is not None
    }
    for number, start in enumerate(range(0, len(texts), rows)):
        count = min(rows, len(texts) - start)
        whole = -(-count // COLUMNS.value) * COLUMNS.value
        arrived = []
        for name, part in (("images", images), ("texts", texts)):
            if part is None:
                arrived.append(_on_device(None, whole))
                continue
            staging = rings[name][number % 2]
            if staging.free is not None:
                staging.free.synchronize()
            _fill(staging.buffer[:count].numpy(), part[start : start + count], threads)
            with torch.cuda.stream(copying):
                moved = staging.buffer[:count].to("cuda", non_blocking=True)
                staging.free = copying.record_event()
                arrived.append(_padded(moved.half(), whole))
        torch.cuda.current_stream().wait_stream(copying)
        for tensor in arrived:
            tensor.record_stream(torch.cuda.current_stream())
        yield start, (arrived[0], arrived[1])


def _fill(buffer: np.ndarray, vectors: np.ndarray, threads: ThreadPoolExecutor) -> None:
    """Copy vectors [N, D] into a buffer of the same shape, a share of the rows in each thread."""
    share = -(-len(vectors) // COPYING_THREADS)
    shares = [slice(at, at + share) for at in range(0, len(vectors), share)]
    list(threads.map(lambda rows: np.copyto(buffer[rows], vectors[rows]), shares))


def _dtype(vectors: Vectors) -> Any:
    import torch

    return torch.float16 if vectors.dtype == np.float16 else torch.float32


def launch(images: Any, texts: Any, pool_images: Any, pool_texts: Any, keys: Any, first_row: int) -> None:
    """One launch: raise `keys` int64 [N] by what this chunk of the pool holds.

    A key orders by value, then by the earlier pool row: the value's bits above, 2^31 - 1 minus the row below.
    Operands are fp16 or bf16 [rows, D] on the device, D a multiple of 64, pool rows a multiple of 256.
    """
    import torch

    from data.curation import similarity_kernel as kernel

    half, columns, depth = kernel.HALF.value, kernel.COLUMNS.value, kernel.DEPTH.value
    row_tiles, tiles = -(-len(images) // (2 * half)), len(pool_texts) // columns
    segment = min(kernel.SEGMENT, tiles)
    segments = -(-tiles // segment)
    processors = torch.cuda.get_device_properties(images.device).multi_processor_count
    kernel.nearest_kernel[(min(processors, row_tiles * segments),)](
        *(kernel.descriptor(vectors, half) for vectors in (images, texts)),
        *(kernel.descriptor(vectors, columns) for vectors in (pool_images, pool_texts)),
        keys,
        len(images),
        first_row // columns,
        row_tiles,
        segments,
        tiles,
        segment=segment,
        image_depths=images.shape[1] // depth,
        text_depths=texts.shape[1] // depth,
        num_warps=4,
    )
