"""A pack as the feed hands it over: built by a thread or a worker process, weighted, pinned where there is a GPU."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from data.errors import AerieError
from model.inputs.batch import PackedBatch
from model.inputs.loader import PackPlace
from model.inputs.merge import placeholder_pack
from model.inputs.pack_reader import PackReader, PackSources
from model.inputs.quarantine import QuarantineEvent
from model.loss import Reduction, token_weights
from model.pack_tensors import PackTensors


@dataclass(frozen=True, slots=True)
class PackRequest:
    """A pack to build; without `counts` it only keeps step (see `model.training.schedule.rank_packs`)."""

    place: PackPlace
    counts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FedPack:
    """A pack that can travel between processes: tensors go through shared memory, the rest is small."""

    tensors: PackTensors
    weights: torch.Tensor  # float32 [T]
    tiles_per_sample: torch.Tensor  # int32 [S]
    sample_ids: tuple[str, ...]
    categories: tuple[str, ...]
    sources: tuple[str, ...]
    denominator: float
    counts: bool
    samples: int  # planned in it, the bad ones too
    quarantined: tuple[QuarantineEvent, ...]

    def pin_memory(self) -> "FedPack":
        """The same in page-locked memory, from which a GPU copies by itself; PyTorch's loader calls this by name."""
        return replace(
            self,
            tensors=self.tensors.pin(),
            weights=self.weights.pin_memory(),
        )

    def batch(self) -> PackedBatch:
        """The pack's arrays: views of the tensors' memory."""
        return PackedBatch(
            input_ids=self.tensors.input_ids.numpy(),
            labels=self.tensors.labels.numpy(),
            positions=self.tensors.positions.numpy(),
            cu_seqlens=self.tensors.cu_seqlens.numpy(),
            tiles=self.tensors.tiles.numpy(),
            tiles_per_sample=self.tiles_per_sample.numpy(),
            sample_ids=self.sample_ids,
            categories=self.categories,
            sources=self.sources,
        )


class PackBuilder:
    """`builder[request]` is the pack, or the message of the `AerieError` that it met.

    What PyTorch's loader calls a map-style dataset. It travels to the workers; each opens its own reader.
    """

    def __init__(self, sources: PackSources, reduction: Reduction) -> None:
        self._sources, self._reduction = sources, reduction
        self._reader: PackReader | None = None

    def __getitem__(self, request: PackRequest) -> FedPack | str:
        self._reader = self._reader or PackReader(self._sources)
        place = request.place
        try:
            loaded = self._reader.load(place.number, place.first, place.last)
        except AerieError as error:  # as text: the loader would wrap an exception's message in a traceback
            return str(error)
        batch, counts = loaded.batch, request.counts
        if batch is None:
            batch, counts = placeholder_pack(self._sources.settings.tiling.tile_size), False
        weights, denominator = token_weights(batch.labels, batch.cu_seqlens, self._reduction)
        return FedPack(
            tensors=PackTensors.of(batch),
            weights=torch.from_numpy(weights if counts else np.zeros_like(weights)),
            tiles_per_sample=torch.from_numpy(batch.tiles_per_sample),
            sample_ids=batch.sample_ids,
            categories=batch.categories,
            sources=batch.sources,
            denominator=denominator if counts else 0.0,
            counts=counts,
            samples=loaded.samples if request.counts else 0,
            quarantined=loaded.quarantined if request.counts else (),  # else the rank that counts it tells
        )


def built(pack: FedPack | str) -> FedPack:
    """A pack that was built; else its message as the `AerieError` that it was."""
    if isinstance(pack, str):
        raise AerieError(pack)
    return pack
