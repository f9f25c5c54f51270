"""Clusters of answer formats, computed from the formatted pairs: what each task is asked for and what it gets.

Eagle 2: same task, similar format; different tasks, clearly distinct formats. Two checks follow from the clusters:
within a task, the sources whose pairs look different from most; between tasks of different families, formats that a
model could not tell apart.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from data.curation.answer_shapes import Shape
from data.curation.instructions import LONGEST
from data.schema import IMAGE_PLACEHOLDER

# (source, task, family, instruction given, instruction that the question brought along, shape of the answer)
ClusterKey = tuple[str, str, str, str, str, str]
# Shapes that one short-answer instruction asks for alike: "red", "3", "12 cm" are all a word or short phrase.
SHORT: frozenset[Shape] = frozenset({"letter", "boolean", "number", "quantity", "phrase"})
LONG: frozenset[Shape] = frozenset({"sentence", "paragraph", "text"})
SIMILAR = 0.8  # of the share that a task's dominant format has everywhere must be reached by each of its sources
COLLIDING = 0.5  # of two tasks' pairs look alike
FEW_PAIRS = 20  # fewer say nothing about a task
OWN_SHARE = 0.05  # of a task's pairs must bring the same words along for these to count as an instruction
RARE = 2  # in one shard
MOST_CLUSTERS = 50_000
_OPTION_LINE = re.compile(r"\(?[A-H][.):]\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What a pair looks like: the instruction in its question and the form of its answer."""

    instruction: str
    form: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """A source whose pairs of a task mostly look different: `share` of its `pairs` have the task's dominant format."""

    source: str
    pairs: int
    share: float
    instruction: str
    form: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFormat:
    """One task: `share` of its `pairs` have the dominant format, `shapes` says what the answers are in full."""

    task: str
    family: str
    pairs: int
    share: float
    instruction: str
    form: str
    shapes: dict[str, int]
    deviating: tuple[Deviation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision:
    """Two tasks of different families of whose pairs the share `overlap` looks alike, mostly in the way shown."""

    tasks: tuple[str, str]
    families: tuple[str, str]
    overlap: float
    instruction: str
    shape: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatReport:
    """All tasks by name, and the pairs of tasks that collide, the worst first."""

    tasks: tuple[TaskFormat, ...]
    collisions: tuple[Collision, ...]

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def own_instruction(question: str) -> str:
    """The last sentence of a question that still goes on after asking; "" when it ends with what it asks.

    >>> own_instruction("<image>\\nWhat is it? Reply with the name only."), own_instruction("Describe the image.")
    ('Reply with the name only.', '')
    """
    text = question.rstrip()
    if text.endswith("?") or _OPTION_LINE.match(text, text.rfind("\n") + 1):
        return ""
    tail = text[-LONGEST - 1 :].rstrip(".!")
    start = max(tail.rfind(mark) for mark in ("? ", ". ", "! ", ": ", "\n"))
    if start < 0:
        return ""  # one sentence, or one that is longer than instructions are
    before = text[: max(len(text) - LONGEST - 1, 0)] + tail[: start + 1]
    if not before.replace(IMAGE_PLACEHOLDER, "").strip():
        return ""
    return text[max(len(text) - LONGEST - 1, 0) + start + 1 :].strip()


def without_rare(clusters: Counter[ClusterKey], rare: int = RARE) -> Counter[ClusterKey]:
    """Words that one question alone ends with are its own, not an instruction; without them the clusters stay few."""
    said: Counter[tuple[str, str, str]] = Counter()
    for (source, task, _, _, own, _), pairs in clusters.items():
        said[source, task, own] += pairs
    kept: Counter[ClusterKey] = Counter()
    for (source, task, family, given, own, shape), pairs in clusters.items():
        kept[source, task, family, given, own if said[source, task, own] >= rare else "", shape] += pairs
    return kept


def bounded(clusters: Counter[ClusterKey], most: int = MOST_CLUSTERS) -> Counter[ClusterKey]:
    """At most about so many clusters: words that few questions end with go first. Frequent ones are never touched."""
    rare = RARE
    while len(clusters) > most and any(key[4] for key in clusters):
        rare *= 4
        clusters = without_rare(clusters, rare)
    return clusters


def form_of(shape: str) -> str:
    """The coarse form of a shape: `short` and `long` take in what differs in length only."""
    return "short" if shape in SHORT else "long" if shape in LONG else shape


def format_report(clusters: Mapping[ClusterKey, int]) -> FormatReport:
    """Both checks. The order of the clusters doesn't matter."""
    by_task: defaultdict[str, Counter[ClusterKey]] = defaultdict(Counter)
    for key, pairs in clusters.items():
        by_task[key[1]][key] += pairs
    seen = {task: _with_known_words(found) for task, found in sorted(by_task.items())}
    return FormatReport(
        tasks=tuple(_task_format(task, found) for task, found in seen.items()),
        collisions=tuple(sorted(_collisions(seen), key=lambda found: (-found.overlap, found.tasks))),
    )


# Of one task: (source, family, instruction, shape) -> pairs.
_Seen = Counter[tuple[str, str, str, str]]


def _with_known_words(found: Counter[ClusterKey]) -> _Seen:
    """One instruction a pair: the given one, or words that enough of the task's questions end with."""
    total, own_words = found.total(), Counter[str]()
    for (_, _, _, _, own, _), pairs in found.items():
        own_words[own] += pairs
    seen: _Seen = Counter()
    for (source, _, family, given, own, shape), pairs in found.items():
        common = own if own_words[own] >= OWN_SHARE * total else ""
        seen[source, family, given or common, shape] += pairs
    return seen


def _task_format(task: str, seen: _Seen) -> TaskFormat:
    formats: Counter[tuple[str, str]] = Counter()
    families: Counter[str] = Counter()
    shapes: Counter[str] = Counter()
    by_source: defaultdict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for (source, family, instruction, shape), pairs in seen.items():
        formats[instruction, form_of(shape)] += pairs
        by_source[source][instruction, form_of(shape)] += pairs
        families[family] += pairs
        shapes[shape] += pairs
    main = _most(formats)
    return TaskFormat(
        task=task,
        family=_most(families),
        pairs=formats.total(),
        share=formats[main] / formats.total(),
        instruction=main[0],
        form=main[1],
        shapes=dict(sorted(shapes.items(), key=lambda item: (-item[1], item[0]))),
        deviating=tuple(_deviations(by_source, main, formats[main] / formats.total())),
    )


def _deviations(
    by_source: Mapping[str, Counter[tuple[str, str]]], main: tuple[str, str], everywhere: float
) -> list[Deviation]:
    found = []
    for source, formats in sorted(by_source.items()):
        share = formats[main] / formats.total()
        if share < SIMILAR * everywhere:
            instead = _most(Counter({seen: pairs for seen, pairs in formats.items() if seen != main}))
            found.append(
                Deviation(source=source, pairs=formats.total(), share=share, instruction=instead[0], form=instead[1])
            )
    return found


def _collisions(seen: Mapping[str, _Seen]) -> list[Collision]:
    looks: dict[str, tuple[str, Counter[tuple[str, str]]]] = {}
    for task, found in seen.items():
        if found.total() >= FEW_PAIRS:
            formats: Counter[tuple[str, str]] = Counter()
            for (_, _, instruction, shape), pairs in found.items():
                formats[instruction, shape] += pairs
            looks[task] = (_task_format(task, found).family, formats)
    collisions = []
    for one, other in combinations(looks, 2):
        (family, formats), (other_family, other_formats) = looks[one], looks[other]
        alike = {
            key: min(formats[key] / formats.total(), other_formats[key] / other_formats.total())
            for key in formats.keys() & other_formats.keys()
        }
        if family != other_family and (overlap := sum(alike.values())) >= COLLIDING:
            instruction, shape = max(sorted(alike), key=lambda key: alike[key])
            collisions.append(
                Collision(
                    tasks=(one, other),
                    families=(family, other_family),
                    overlap=overlap,
                    instruction=instruction,
                    shape=shape,
                )
            )
    return collisions


def _most(counts: Counter[Any]) -> Any:
    """The most frequent key; of equals the first by name."""
    return max(sorted(counts), key=lambda key: counts[key])
