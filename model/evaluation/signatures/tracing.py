"""The training answers that show the pattern of a signature, by source, and how many each stage's packs hold."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from data.curation.rules import normal
from data.schema import Sample
from model.evaluation.signatures.choice import chosen, options_of, yes_or_no
from model.evaluation.signatures.detectors import DETECTORS
from model.evaluation.signatures.reply import Reply, training_replies

EXAMPLES = 3
Shown = Mapping[str, Mapping[str, Collection[int]]]  # stage -> sample id -> the pairs that its packs show


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingExample:
    """One answer that is trained on and shows a pattern."""

    sample_id: str
    question: str
    answer: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePattern:
    """One source's samples whose answers show a pattern.

    `count` of the `total` samples that could show it do; `unasked` of them where their own question gives no reason.
    `answers` and `answers_total` count single answers likewise: of a bias, only their quotient says something.
    `packed` counts those of `count` whose showing pairs stand in packs of each stage.
    """

    count: int
    total: int
    share: float
    answers: int = 0
    answers_total: int = 0
    unasked: int = 0
    packed: dict[str, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    examples: tuple[TrainingExample, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """One sample that shows one pattern, in these of its pairs."""

    name: str
    source: str
    sample_id: str
    pairs: tuple[int, ...]
    unasked: bool
    mark: str


@dataclass
class Trace:
    """Matches of a part of the training set; parts are summed."""

    totals: Counter[tuple[str, str]] = field(default_factory=Counter)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    matches: list[Match] = field(default_factory=list)
    examples: dict[tuple[str, str], list[TrainingExample]] = field(default_factory=dict)

    def add(self, other: "Trace") -> None:
        """Take in the next part."""
        self.totals.update(other.totals)
        self.answers.update(other.answers)
        self.matches += other.matches
        for key, examples in other.examples.items():
            self.examples[key] = (self.examples.get(key, []) + examples)[:EXAMPLES]

    def patterns(self, shown: Shown) -> dict[str, dict[str, SourcePattern]]:
        """By signature and source, sources with most matches first."""
        grouped: defaultdict[tuple[str, str], list[Match]] = defaultdict(list)
        for match in self.matches:
            grouped[match.name, match.source].append(match)
        found: dict[str, dict[str, SourcePattern]] = {}
        for (name, source), matches in sorted(grouped.items(), key=lambda item: (-len(item[1]), item[0])):
            found.setdefault(name, {})[source] = self._pattern((name, source), matches, shown)
        return found

    def _pattern(self, key: tuple[str, str], matches: list[Match], shown: Shown) -> SourcePattern:
        total = self.totals[key]
        return SourcePattern(
            count=len(matches),
            total=total,
            share=len(matches) / total,
            answers=sum(len(match.pairs) for match in matches),
            answers_total=self.answers[key],
            unasked=sum(match.unasked for match in matches),
            packed={
                stage: sum(not set(match.pairs).isdisjoint(pairs.get(match.sample_id, ())) for match in matches)
                for stage, pairs in shown.items()
            },
            marks=dict(Counter(match.mark for match in matches).most_common()),
            examples=tuple(self.examples.get(key, ())),
        )


def traced(
    names: Iterable[str],
    samples: Iterable[Sample],
    *,
    marks: Mapping[str, Collection[str]] | None = None,
    shown: Shown | None = None,
) -> dict[str, dict[str, SourcePattern]]:
    """Signature -> source -> the training samples with the same pattern; sources without one are left out.

    Answers are judged by the very functions that judge outputs. `marks` narrows a signature to what the outputs show:
    `\\begin{align*}` is not traced to a source of `\\boxed`; biases need it (the favoured letter, word or text).
    `shown` gives the pairs in each stage's packs. A sample counts once however many of its answers match.
    """
    return trace(names, samples, marks).patterns(shown or {})


def trace(names: Iterable[str], samples: Iterable[Sample], marks: Mapping[str, Collection[str]] | None = None) -> Trace:
    """The matches of some samples, to be added to those of others."""
    wanted, made = tuple(names), Trace()
    for sample in samples:
        replies = training_replies(sample)
        for name in wanted:
            hits = list(_hits(name, replies, None if marks is None else marks.get(name)))
            if not hits:
                continue
            made.totals[name, sample.source] += 1
            made.answers[name, sample.source] += len(hits)
            _note(made, name, sample, replies, [(place, mark) for place, mark in hits if mark])
    return made


def _note(made: Trace, name: str, sample: Sample, replies: list[Reply], showing: list[tuple[int, str]]) -> None:
    if not showing:
        return
    places = tuple(place for place, _ in showing)
    unasked = name in DETECTORS and any(DETECTORS[name].misplaced(replies[place]) for place in places)
    first, mark = showing[0]
    made.matches.append(Match(name, sample.source, sample.sample_id, places, unasked, mark))
    examples = made.examples.setdefault((name, sample.source), [])
    if len(examples) < EXAMPLES:
        reply = replies[first]
        examples.append(
            TrainingExample(sample_id=sample.sample_id, question=reply.question, answer=reply.text, mark=mark)
        )


def _hits(name: str, replies: list[Reply], wanted: Collection[str] | None) -> Iterator[tuple[int, str]]:
    """(pair, its mark or "") of every pair that could show the pattern."""
    for place, reply in enumerate(replies):
        mark = training_mark(name, reply)
        if mark is not None:
            yield place, mark if wanted is None or mark in wanted else ""


def training_mark(name: str, reply: Reply) -> str | None:
    """What a training answer shows of a signature, "" for nothing; None where it could not show it at all."""
    if name in DETECTORS:
        return DETECTORS[name].pattern(reply)
    if name == "position_bias":
        options = options_of(reply)
        return chosen(reply.text, options) or None if len(options) >= 2 else None
    if name == "yes_bias":
        return (yes_or_no(reply.text) or None) if len(reply.text) <= 4 else None
    return normal(reply.text).rstrip(".")
