"""Steps whose loss or gradient isn't finite: they change nothing, are recorded, and a row of them ends the stage."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import distributed

from data.errors import AerieError
from model.training.metrics import SkippedStep

NAMED = 5  # samples that a message names; the record has all


@dataclass(frozen=True, slots=True)
class PackLoss:
    """A pack of one rank, its samples and its loss."""

    pack: int
    sample_ids: tuple[str, ...]
    loss: float


def find_culprits(norm: float, packs: Mapping[int, Sequence[str]], losses: Sequence[torch.Tensor]) -> SkippedStep:
    """What made a step's gradient norm not finite; every rank calls this with its own counted packs and their losses.

    Where losses are finite, the gradient alone overflowed, and any of the step's packs may have done it. Costs a wait
    for the device and a collective, but only steps that are skipped come here.
    """
    mine = [
        PackLoss(number, tuple(ids), float(loss)) for (number, ids), loss in zip(packs.items(), losses, strict=True)
    ]
    ranks: list[list[PackLoss]] = [[] for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(ranks, mine)
    found = sorted((pack for rank in ranks for pack in rank), key=lambda pack: pack.pack)
    broken = [pack for pack in found if not math.isfinite(pack.loss)]
    return SkippedStep(
        what="loss" if broken else "gradient norm",
        value=str(broken[0].loss if broken else norm),
        packs=tuple(pack.pack for pack in broken or found),
        sample_ids=tuple(name for pack in broken or found for name in pack.sample_ids),
    )


class SkipLimit:
    """Stops a stage when `most` steps in a row were skipped: it would learn nothing more. Equal on every rank."""

    def __init__(self, most: int, checkpoints_uri: str) -> None:
        self._most, self._checkpoints_uri = most, checkpoints_uri
        self._row: list[SkippedStep] = []

    def take(self, step: int, skipped: SkippedStep | None) -> str:
        """Count a step (from 1); what there is to say of it, empty when it was an ordinary one.

        AerieError: the row is full; it names the packs.
        """
        self._row = [*self._row, skipped] if skipped else []
        if skipped is None:
            return ""
        text = f"step {step} is skipped, weights and moments stay: {describe(skipped)}"
        if len(self._row) < self._most:
            return f"{text}; {len(self._row)} in a row, {self._most} end the stage"
        packs = ", ".join(str(pack) for entry in self._row for pack in entry.packs)
        raise AerieError(
            f"{len(self._row)} steps in a row were skipped, the last one because {describe(skipped)}. All packs "
            f"concerned: {packs}. Look at their samples, or lower the stage's learning_rate or grad_clip; "
            f"checkpoints in {self._checkpoints_uri} are untouched"
        )


def describe(skipped: SkippedStep) -> str:
    """The reason in words."""
    names, rest = skipped.sample_ids[:NAMED], len(skipped.sample_ids) - NAMED
    samples = ", ".join(names) + (f" and {rest} more" if rest > 0 else "")
    packs = ", ".join(map(str, skipped.packs))
    return f"the {skipped.what} of pack{'s' * (len(skipped.packs) > 1)} {packs} is {skipped.value} (samples {samples})"
