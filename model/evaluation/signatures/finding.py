"""Failure signatures of stored predictions: what goes wrong in the same way again and again, with counts and tests."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from data.curation.answer_families import offers_options
from data.curation.rules import normal
from model.evaluation.predictions import Prediction
from model.evaluation.signatures.biases import Bias, Paired, constant_bias, option_bias, yes_no_bias
from model.evaluation.signatures.choice import chosen, options_of, yes_or_no
from model.evaluation.signatures.detectors import DETECTORS
from model.evaluation.signatures.reply import Reply

EXAMPLES, PER_SOURCE = 6, 2

BIASES: dict[str, str] = {
    "position_bias": "one option letter of multiple-choice questions is named more often than it is right",
    "yes_bias": "yes (or no) is said more often than it is right",
    "constant_output": "one text is said to many different questions, more often than it is right",
}
SIGNATURES: tuple[str, ...] = (*DETECTORS, *BIASES)
TESTS: dict[str, Callable[[Sequence[Paired]], Bias | None]] = {
    "position_bias": option_bias,
    "yes_bias": yes_no_bias,
    "constant_output": constant_bias,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One failing output; `mark` names what was found in it."""

    question_id: str
    sample_id: str
    source: str
    prompt: str
    output: str
    answer: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature over all predictions; blind ones are left out.

    `count` of the `asked` outputs show it, `share` is their quotient; `sources` and `asked_of` say both per benchmark
    or source (only where it was found). `marks` counts what exactly was found (`\\boxed`, `phrase → paragraph`, `yes`).
    A bias counts wrong answers in sources where it is significant; `asked` are the questions that could show it,
    `pvalue` is the smallest of its sources, corrected for all that were tested (None: nothing to test, or a text
    signature, which needs no test), and `biases` holds every tested source.
    """

    name: str
    description: str
    count: int
    asked: int
    share: float
    sources: dict[str, int] = field(default_factory=dict)
    asked_of: dict[str, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    pvalue: float | None = None
    biases: dict[str, Bias] = field(default_factory=dict)


def signatures(predictions: Iterable[Prediction]) -> list[Signature]:
    """Every signature of `SIGNATURES` in that order, those that were not found with a count of 0. Pure."""
    sighted = [prediction for prediction in predictions if not prediction.blind]
    replies = [(prediction, Reply.of(prediction)) for prediction in sighted]
    asked = Counter(prediction.source for prediction in sighted)
    found: defaultdict[str, list[tuple[Prediction, str]]] = defaultdict(list)
    for prediction, reply in replies:
        for name, mark in failures(reply).items():
            found[name].append((prediction, mark))
    texts = [_signature(name, DETECTORS[name].description, found[name], asked) for name in DETECTORS]
    return texts + [_bias(name, paired(name, replies)) for name in BIASES]


def failures(reply: Reply) -> dict[str, str]:
    """The text signatures that one output shows, with their marks. An output in a loop has no form to speak of."""
    found = {name: mark for name, detector in DETECTORS.items() if (mark := detector.failure(reply))}
    if "repetition_loop" in found:
        found.pop("format_drift", None)
    return found


def paired(name: str, replies: Iterable[tuple[Prediction, Reply]]) -> list[tuple[Prediction, Paired]]:
    """What a bias is tested on: the readable answers to questions of its kind."""
    reader = {"position_bias": _option_pair, "yes_bias": _yes_no_pair, "constant_output": _free_pair}[name]
    return [(prediction, pair) for prediction, reply in replies if (pair := reader(reply)) is not None]


def _option_pair(reply: Reply) -> Paired | None:
    options = options_of(reply)
    if len(options) < 2:
        return None
    said, right = chosen(reply.text, options), chosen(reply.references[0], options)
    return Paired(said, right, len(options)) if said and right else None


def _yes_no_pair(reply: Reply) -> Paired | None:
    rights = {yes_or_no(reference) for reference in reply.references if len(reference) <= 4}
    said = yes_or_no(reply.text)
    right = rights.pop() if len(rights) == 1 else ""
    return Paired(said, right, 2) if said and right and not reply.options else None


def _free_pair(reply: Reply) -> Paired | None:
    """Free answers; a right one counts as its reference, so that one of several annotators' words is no error."""
    if reply.options or offers_options(reply.question) or not reply.text.strip():
        return None
    answers = [normal(reference).rstrip(".") for reference in reply.references]
    if set(answers) <= {"yes", "no"}:
        return None
    said = normal(reply.text).rstrip(".")
    return Paired(said, said if said in answers else answers[0])


def _signature(
    name: str, description: str, found: Sequence[tuple[Prediction, str]], asked: Mapping[str, int]
) -> Signature:
    sources = Counter(prediction.source for prediction, _ in found)
    total = sum(asked.values())
    return Signature(
        name=name,
        description=description,
        count=len(found),
        asked=total,
        share=len(found) / total if total else 0.0,
        sources=dict(sources.most_common()),
        asked_of={source: asked[source] for source in sources},
        marks=dict(Counter(mark for _, mark in found).most_common()),
        examples=_examples(found),
    )


def _bias(name: str, pairs: Sequence[tuple[Prediction, Paired]]) -> Signature:
    by_source: defaultdict[str, list[tuple[Prediction, Paired]]] = defaultdict(list)
    for prediction, pair in pairs:
        by_source[prediction.source].append((prediction, pair))
    tested = {source: TESTS[name]([pair for _, pair in rows]) for source, rows in by_source.items()}
    biases = {source: bias.corrected(len(tested)) for source, bias in tested.items() if bias is not None}
    wrong = [
        (prediction, biases[source].favoured)
        for source, rows in by_source.items()
        for prediction, pair in rows
        if biases[source].found and pair.said == biases[source].favoured != pair.right
    ]
    made = _signature(name, BIASES[name], wrong, Counter(prediction.source for prediction, _ in pairs))
    values = {key: getattr(made, key) for key in made.__slots__ if key not in ("pvalue", "biases")}
    return Signature(**values, pvalue=min((bias.pvalue for bias in biases.values()), default=None), biases=biases)


def _examples(found: Sequence[tuple[Prediction, str]]) -> tuple[Example, ...]:
    """A few of each source in stored order, of different samples."""
    per_source: Counter[str] = Counter()
    seen: set[str] = set()
    chosen_examples = []
    for prediction, mark in found:
        if prediction.sample_id in seen or per_source[prediction.source] == PER_SOURCE:
            continue
        seen.add(prediction.sample_id)
        per_source[prediction.source] += 1
        names = ("question_id", "sample_id", "source", "prompt", "output", "answer")
        chosen_examples.append(Example(**{key: getattr(prediction, key) for key in names}, mark=mark))
    return tuple(chosen_examples[:EXAMPLES])
