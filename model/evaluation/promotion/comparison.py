"""All lines of a comparison: every source, every benchmark, and the categories that add something.

A category has a line when it is of several sources or has limits of its own.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from data.schema import CATEGORIES
from model.evaluation.promotion.decision import Chance, Level, Line, compare_line
from model.evaluation.promotion.pairing import Pairs, Scored, paired
from model.evaluation.promotion.settings import LineLimits, PromotionSettings, benchmark_of

TAIL_RESAMPLES = 20  # an interval's end is known by so many resamples beyond it


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one checkpoint was asked: held-out questions, and units of benchmarks (`benchmarks.benchmark_units`)."""

    questions: Sequence[Scored]
    benchmarks: Sequence[Scored] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The lines and what follows from them. `notes` are about limits that concern nothing.

    `chance` is how the intervals were made: their confidence is each line's.
    """

    lines: tuple[Line, ...]
    accepted: bool
    reason: str
    notes: tuple[str, ...]
    chance: Chance


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One line before it is decided."""

    level: Level
    name: str
    pairs: Pairs
    limits: LineLimits

    @property
    def comparable(self) -> bool:
        return bool(self.pairs.shared or (self.pairs.only_candidate and self.pairs.only_predecessor))


def compare(candidate: Side, predecessor: Side | None, settings: PromotionSettings, seed: int) -> Comparison:
    """Compare a candidate with its predecessor (None: the first of its name)."""
    before = predecessor or Side(questions=())
    questions, benchmarks = (candidate.questions, before.questions), (candidate.benchmarks, before.benchmarks)
    tasks = [*_sources(*questions, settings), *_categories(*questions, settings), *_benchmarks(*benchmarks, settings)]
    chance = _chance(settings, sum(task.comparable for task in tasks), seed)
    lines = tuple(
        compare_line(task.level, task.name, task.pairs, task.limits, chance, refuse=settings.unmatched == "refuse")
        for task in tasks
    )
    accepted, reason = _outcome(candidate.questions, predecessor, lines, settings)
    sources, lines_asked = _asked(*questions), _asked(*benchmarks)
    notes = (
        *_idle("sources", settings.sources, sources),
        *_idle("benchmarks", settings.benchmarks, lines_asked | set(map(benchmark_of, lines_asked))),
    )
    return Comparison(lines=lines, accepted=accepted, reason=reason, notes=notes, chance=chance)


def _asked(candidate: Sequence[Scored], before: Sequence[Scored]) -> set[str]:
    return {row.source for row in (*candidate, *before)}


def _idle(section: str, limits: Iterable[str], known: Collection[str]) -> Iterator[str]:
    """Notes about limits that concern nothing."""
    for name in limits:
        if name not in known:
            yield f"the recipe's promotion.{section}.{name} concerns nothing that was evaluated"


def _chance(settings: PromotionSettings, lines: int, seed: int) -> Chance:
    """Bonferroni: with `lines` intervals at once, each must be so sure that all of them hold with the confidence."""
    risk = 1 - settings.confidence
    risk /= max(lines, 1) if settings.family == "all_lines" else 1
    resamples = max(settings.resamples, math.ceil(2 * TAIL_RESAMPLES / risk))
    return Chance(confidence=1 - risk, resamples=resamples, seed=seed)


def _outcome(
    candidate: Sequence[Scored],
    predecessor: Side | None,
    lines: tuple[Line, ...],
    settings: PromotionSettings,
) -> tuple[bool, str]:
    if not any(row.value is not None for row in candidate):
        return False, "no question was answered and judged"
    if refusing := [f"{line.level} {line.name}" for line in lines if line.refused]:
        return False, f"stopped by {', '.join(refusing)}"
    if predecessor is None and settings.first == "refuse":
        return False, "it has no predecessor, and the recipe refuses a first one (promotion.first: refuse)"
    return True, "it is the first of its name" if predecessor is None else "no line stops it"


def _sources(candidate: Sequence[Scored], before: Sequence[Scored], settings: PromotionSettings) -> Iterator[_Task]:
    """Sources of either side; one that is required counts even if nobody answered it."""
    required = {name for name, limits in settings.sources.items() if limits.require is not None}
    categories = {row.source: row.category for row in (*before, *candidate)}
    for name in sorted({*categories, *required}):
        pairs = paired(*([row for row in rows if row.source == name] for rows in (candidate, before)))
        yield _Task(level="source", name=name, pairs=pairs, limits=settings.limits(name, categories.get(name, "")))


def _benchmarks(candidate: Sequence[Scored], before: Sequence[Scored], settings: PromotionSettings) -> Iterator[_Task]:
    """Lines of either side; a benchmark with a required score counts even if nobody ran it."""
    asked = _asked(candidate, before)
    required = {name for name, limits in settings.benchmarks.items() if limits.require is not None}
    required -= asked | set(map(benchmark_of, asked))
    for name in sorted(asked | required):
        pairs = paired(*([row for row in rows if row.source == name] for rows in (candidate, before)))
        yield _Task(level="benchmark", name=name, pairs=pairs, limits=settings.benchmark_limits(name))


def _categories(candidate: Sequence[Scored], before: Sequence[Scored], settings: PromotionSettings) -> Iterator[_Task]:
    """A category of one source without limits of its own would only repeat that source's line."""
    for name in CATEGORIES:
        sides = [[row for row in rows if row.category == name] for rows in (candidate, before)]
        if len({row.source for rows in sides for row in rows}) > 1 or name in settings.categories:
            yield _Task(level="category", name=name, pairs=paired(*sides), limits=settings.category_limits(name))
