"""What to change in a stage that doesn't fit on its GPUs: each proposal is computed, none is a rule of thumb."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from model.recipe import RecomputeSettings, StageSettings

HALF, FULL = (RecomputeSettings(siglip=share, convnext=share, language=share) for share in (0.5, 1.0))
MOST = 3  # proposals that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """Keys of a stage as YAML, and the peak in bytes with them."""

    change: str
    peak: float


def remedies(stage: StageSettings, peak: Callable[[StageSettings], float], room: float) -> tuple[Remedy, ...]:
    """The first changes under which the peak of `stage` is no more than `room` bytes, the cheapest in time first.

    Empty when none of them is enough: then it takes more GPUs, or larger ones.
    """
    found = []
    for changes in _candidates(stage):
        reached = peak(stage.model_copy(update=changes))
        if reached <= room:
            found.append(Remedy(change=_yaml(changes), peak=reached))
        if len(found) == MOST:
            break
    return tuple(found)


def tiles_that_fit(
    stage: StageSettings, fullest: int, peak: Callable[[StageSettings, int], float], room: float
) -> int | None:
    """The largest `max_tiles_per_pack` below `fullest` with which every pack fits; None when all do or none does."""

    def fits(tiles: int) -> bool:
        return peak(stage.model_copy(update={"max_tiles_per_pack": tiles}), tiles) <= room

    if fits(fullest) or not fits(1):
        return None
    low, high = 1, fullest - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _candidates(stage: StageSettings) -> list[dict[str, Any]]:
    recompute: list[dict[str, Any]] = [
        {"activation_checkpointing": shares}
        for shares in (HALF, FULL)
        if max(stage.activation_checkpointing.model_dump().values()) < shares.siglip
    ]
    shard: list[dict[str, Any]] = [{"zero_stage": level} for level in (1, 2, 3) if level > stage.zero_stage]
    both = [{**recompute[-1], **level} for level in shard] if recompute else []
    shorter = [{"capacity": stage.capacity // 2, **rest} for rest in ({}, *recompute, *shard[-1:], *both[-1:])]
    return [*recompute, *shard, *both, *shorter]


def _yaml(changes: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {_value(value)}" for key, value in changes.items())


def _value(value: Any) -> str:
    if not isinstance(value, RecomputeSettings):
        return str(value)
    shares = ", ".join(f"{part}: {share:g}" for part, share in value.model_dump().items())
    return "true" if value == FULL else f"{{{shares}}}"
