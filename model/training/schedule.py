"""The learning rate and the packs of each step: pure functions of the step, so a resume needs no state."""

import math

from model.recipe import StageSettings


def total_steps(packs: int, settings: StageSettings) -> int:
    """Optimizer steps of a stage; the last one may be short."""
    return math.ceil(packs / settings.packs_per_step)


def learning_rate(step: int, steps: int, settings: StageSettings) -> float:
    """The rate of step `step` (from 0) of `steps`: linear warm-up to the peak, then a cosine down to the floor.

    The peak is `learning_rate`, the floor `min_learning_rate_ratio` of it, reached one step after the last.
    """
    warmup = math.ceil(settings.warmup_ratio * steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(steps - warmup, 1)
    floor = settings.min_learning_rate_ratio
    return settings.learning_rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def step_packs(step: int, packs: int, settings: StageSettings) -> range:
    """The pack numbers of a step over all ranks; the last step takes what is left."""
    first = step * settings.packs_per_step
    return range(first, min(first + settings.packs_per_step, packs))


def rank_packs(numbers: range, rank: int, world: int) -> list[tuple[int, bool]]:
    """The (pack, counts) pairs that one rank runs in a step.

    Every rank runs equally many, so that all issue the same collectives: where a short step leaves a rank without a
    pack, it repeats the step's first one with zero weight.
    """
    share = [(number, True) for number in numbers[rank::world]]
    return share + [(numbers[0], False)] * (math.ceil(len(numbers) / world) - len(share))
