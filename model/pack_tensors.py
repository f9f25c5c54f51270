"""A pack as tensors: apart from the network, so that a process that only reads packs need not load it."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from model.inputs.batch import PackedBatch
from model.loss import answer_positions


@dataclass(frozen=True, slots=True, kw_only=True)
class PackTensors:
    """A `PackedBatch` on a device. What a layer needs as a number or a list is worked out on the host: no layer asks
    the device and waits for its answer.
    """

    input_ids: torch.Tensor  # int64 [T]
    labels: torch.Tensor  # int64 [T]
    positions: torch.Tensor  # int64 [T]
    sequence: torch.Tensor  # int64 [T], which sample a token belongs to
    cu_seqlens: torch.Tensor  # int32 [S + 1], sample i spans cu_seqlens[i]:cu_seqlens[i + 1]
    max_seqlen: int  # tokens of the longest sample
    answers: torch.Tensor  # int64 [N], the tokens whose prediction counts
    tiles: torch.Tensor  # uint8 [P, H, W, 3]

    @classmethod
    def of(cls, batch: PackedBatch, device: torch.device | str = "cpu") -> "PackTensors":
        """The pack's arrays as tensors."""
        lengths = np.diff(batch.cu_seqlens)
        arrays = {
            "input_ids": batch.input_ids,
            "labels": batch.labels,
            "positions": batch.positions,
            "sequence": np.repeat(np.arange(len(lengths)), lengths),
            "cu_seqlens": batch.cu_seqlens,
            "answers": answer_positions(batch.labels, batch.cu_seqlens),
            "tiles": batch.tiles,
        }
        tensors = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        return cls(**tensors, max_seqlen=int(lengths.max()))

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "PackTensors":
        """The pack on a device; from pinned memory a copy that doesn't block runs beside the computing."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin(self) -> "PackTensors":
        """The pack in page-locked memory of the host; needs CUDA."""
        return self._each(torch.Tensor.pin_memory)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "PackTensors":
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: change(value) for name, value in values.items() if torch.is_tensor(value)})
