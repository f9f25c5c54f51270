"""What the ranks tell each other of a step: one vector each, exchanged once."""

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from data.schema import CATEGORIES
from model.loss import sample_denominators
from model.training.collectives import Gathered, on_device
from model.training.feeding.feed import WeightedPack

GROUPS = (*CATEGORIES, "other")  # of the losses: the paper's nine categories, and what a user's own data may name
COUNTS = ("denominator", "tokens", "samples", "tiles", "packs", "flops", "quarantined", "stopping")
PEAKS = ("wait_seconds", "memory_bytes")  # of these the largest counts, of all others the sum
DENOMINATORS, LOSSES = tuple(f"denominator/{g}" for g in GROUPS), tuple(f"loss/{g}" for g in GROUPS)
ON_HOST = (*COUNTS, *PEAKS, *DENOMINATORS)
NAMES = (*ON_HOST, *LOSSES, "loss")  # the places of a rank's vector
PackFlops = Callable[[WeightedPack], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNumbers:
    """A step over all ranks. `loss` and the `category_losses` are the global batch's; a category without answers has
    none. `flops` are the model's, forward and backward; `wait_seconds` and `memory_bytes` the highest of a rank.
    """

    loss: float
    category_losses: dict[str, float]
    tokens: int
    samples: int
    tiles: int
    packs: int
    flops: float
    quarantined: int
    stopping: bool
    wait_seconds: float
    memory_bytes: int


class StepCounter:
    """Adds up one rank's packs: what the host knows on the host, losses on the device."""

    def __init__(self, device: torch.device, flops: PackFlops) -> None:
        self._device, self._flops = device, flops
        self._host = dict.fromkeys(ON_HOST, 0.0)
        self._groups = torch.zeros(len(GROUPS), dtype=torch.float64, device=device)
        self.losses: list[torch.Tensor] = []  # of the packs that count

    def add(self, pack: WeightedPack, loss: torch.Tensor, sample_losses: torch.Tensor) -> None:
        """Count a pack; its weighted loss and its samples' [S] are on the device."""
        if not pack.counts:
            return
        self.losses.append(loss)
        batch, host = pack.batch, self._host
        groups = np.array([GROUPS.index(c) if c in CATEGORIES else len(CATEGORIES) for c in batch.categories])
        self._groups.index_add_(0, on_device(torch.from_numpy(groups), self._device), sample_losses.double())
        host["denominator"] += pack.denominator
        host["tokens"] += len(batch.input_ids)
        host["samples"] += len(batch.sample_ids)
        host["tiles"] += len(batch.tiles)
        host["packs"] += 1
        host["flops"] += self._flops(pack)
        for group, share in zip(groups, sample_denominators(pack.weights.numpy(), batch.cu_seqlens), strict=True):
            host[DENOMINATORS[group]] += share

    def gather(self, *, wait_seconds: float, quarantined: int, stopping: bool) -> Gathered:
        """Start the exchange; every rank calls this after its last pack."""
        self._host |= {"wait_seconds": wait_seconds, "quarantined": quarantined, "stopping": stopping}
        self._host["memory_bytes"] = peak_memory(self._device)
        host = on_device(torch.tensor(list(self._host.values()), dtype=torch.float64), self._device)
        loss = sum((loss.double() for loss in self.losses), torch.zeros_like(host[0]))
        return Gathered(torch.cat([host, self._groups, loss.reshape(1)]))


def merge(ranks: torch.Tensor) -> StepNumbers:
    """The step's numbers from the ranks' vectors [ranks, len(NAMES)]."""
    sums = dict(zip(NAMES, ranks.sum(0).tolist(), strict=True))
    peaks = dict(zip(NAMES, ranks.max(0).values.tolist(), strict=True))
    shares = {group: (sums[f"loss/{group}"], sums[f"denominator/{group}"]) for group in GROUPS}
    return StepNumbers(
        loss=sums["loss"] / (sums["denominator"] or 1.0),
        category_losses={group: loss / share for group, (loss, share) in shares.items() if share},
        **{name: int(sums[name]) for name in ("tokens", "samples", "tiles", "packs", "quarantined")},
        flops=sums["flops"],
        stopping=sums["stopping"] > 0,
        wait_seconds=peaks["wait_seconds"],
        memory_bytes=int(peaks["memory_bytes"]),
    )


def peak_memory(device: torch.device) -> int:
    """The most bytes held so far: tensors on a GPU, resident memory of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1 << 10)
