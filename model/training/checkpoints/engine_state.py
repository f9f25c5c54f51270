"""What DeepSpeed's engine must find again to go on: fragments of the optimizer's state, and its own counters."""

import math
from typing import Any

from model.training.checkpoints.fragments import Fragment, held_fragments, refresh_weights, replicated


class EngineState:
    """The training state of one rank, in place, for checkpoints."""

    def __init__(self, engine: Any, rank: int, world: int) -> None:
        self._engine, self._rank, self._world = engine, rank, world

    def parameters(self) -> dict[str, int]:
        """The parameters that learn and their numbers of elements; frozen ones come from the parent stage."""
        named = self._engine.module.named_parameters()
        return {name: getattr(value, "ds_numel", value.numel()) for name, value in named if value.requires_grad}

    def held(self) -> list[Fragment]:
        """All fragments that this rank needs to go on."""
        return held_fragments(self._engine.module, self._engine.optimizer)

    def owned(self) -> list[Fragment]:
        """The fragments that this rank saves: over all ranks, each element of each parameter once."""
        held = self.held()
        if not replicated(self._engine.optimizer):
            return held
        shares = [(fragment, math.ceil(fragment.end / self._world)) for fragment in held]
        return [
            fragment.part(self._rank * share, min((self._rank + 1) * share, fragment.end))
            for fragment, share in shares
            if self._rank * share < fragment.end
        ]

    def counters(self) -> dict[str, int]:
        """DeepSpeed's counts; the packs run by each rank are turned into those of all ranks."""
        engine = self._engine
        return {
            "global_steps": engine.global_steps,
            "global_samples": engine.global_samples,
            "skipped_steps": engine.skipped_steps,
            "packs": engine.micro_steps * self._world,
        }

    def resume(self, counters: dict[str, int]) -> None:
        """Call this on every rank when the fragments are filled: counts and computing weights follow."""
        engine = self._engine
        engine.global_steps = counters["global_steps"]
        engine.global_samples = counters["global_samples"]
        engine.skipped_steps = counters["skipped_steps"]
        engine.micro_steps = counters["packs"] // self._world
        refresh_weights(engine.optimizer)
