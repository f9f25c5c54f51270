"""Pictures for a network on a GPU: processes decode them, the GPU makes them smaller.

A core decodes a JPEG of 640 x 480 in 1.2 ms and would take 0.8 ms more to make it smaller, which costs a GPU next to
nothing. The GPU's own JPEG decoder brings nothing: what it decodes beside a busy network, the network loses.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from data.curation.decoding import EncodedPicture, Ready, ReadyPicture
from data.curation.decoding_pool import DecodingPool, Placed, PlacedPicture
from data.curation.picture_encoders import Preparation
from data.curation.resize_gpu import resized


class ProcessDecoder:
    """Its pixels are those of a `ThreadDecoder`, bit for bit, as tensors on the GPU."""

    def __init__(self, prepare: Preparation, batch_size: int) -> None:
        import torch

        self._prepare, self._batch_size = prepare, batch_size
        self._pool = DecodingPool(prepare, batch_size)
        self._shared = torch.from_numpy(self._pool.shared)
        self._stream, self._copied = torch.cuda.Stream(priority=-1), torch.cuda.Event(blocking=True)
        _pin(self._shared)

    def batches(self, pictures: Sequence[EncodedPicture]) -> Iterator[list[Ready]]:
        """All pictures in order; `AerieError` when a process was killed."""
        for placed in self._pool.batches(pictures):
            yield self._on_gpu(placed)
            self._copied.synchronize()  # long ago, mostly; its slots are used again now

    def _on_gpu(self, placed: Sequence[Placed]) -> list[Ready]:
        """The batch on the GPU, begun beside the network; problems stay."""
        import torch

        usable = [one for one in placed if isinstance(one, PlacedPicture)]
        if not usable:
            return [str(one) for one in placed]
        with torch.cuda.stream(self._stream), torch.inference_mode():
            pixels = resized(self._shared, usable, self._prepare)
            self._copied.record()
        network = torch.cuda.current_stream()
        network.wait_event(self._copied)
        pixels.record_stream(network)
        each = iter(zip(pixels, usable, strict=True))
        return [one if isinstance(one, str) else _ready(*next(each)) for one in placed]

    def close(self) -> None:
        """End the processes."""
        import torch

        self._pool.close()
        torch.cuda.synchronize()
        torch.cuda.cudart().cudaHostUnregister(self._shared.data_ptr())


def _ready(pixels: Any, picture: PlacedPicture) -> ReadyPicture:
    return ReadyPicture(pixels, picture.pixels)


def _pin(memory: Any) -> None:
    """Let the GPU copy from the memory by itself. Without that every copy waits for the one before it."""
    import torch

    failed = int(torch.cuda.cudart().cudaHostRegister(memory.data_ptr(), memory.numel(), 0))
    if failed:
        size = f"{memory.numel() >> 20} MiB"
        warnings.warn(f"{size} of memory could not be pinned (CUDA error {failed}): copies wait", stacklevel=2)
