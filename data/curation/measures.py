"""Measure once: numbers about a sample's text, without a judgement. Thresholds decide later (see filtering)."""

import io
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import pyarrow as pa
import pyarrow.parquet as pq

from data.curation.rules import (
    CONTROL,
    REFUSAL,
    decimals,
    kind_mismatch,
    normal,
    numbers_in,
    refers_beyond,
    repeated_ngrams,
    supported_decimals,
    template_residue,
)
from data.schema import IMAGE_PLACEHOLDER, Sample, plain_text
from data.storage import parquet_table

VERSION = 2
DIALOGUE = "dialogue"  # free conversation: a yes/no question may get any answer
DETAIL_CHARS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What was measured of one sample.

    answer_chars: characters of all answers; max_turn_chars: of the longest turn, any role.
    repeated_ngram_ratio: highest over the answers, 0 to 1; repeated_turn_ratio: question-answer pairs that repeat an
    earlier pair, 0 to 1. unsupported_decimals: decimals of the worst answer beyond what the sample supports.
    mismatched_turns: answers of the wrong kind, and questions with two different answers.
    relevance: 1 when every question can be about the sample's images, -1 when none can.
    empty_turns, refusals, template_residues: counts; placeholder_leaks: also, `<image>` in an
    answer or control tokens anywhere.
    details: JSON, measure name to what was found first, for the report.
    """

    sample_id: str
    source: str
    category: str
    answer_chars: int
    max_turn_chars: int
    repeated_ngram_ratio: float
    repeated_turn_ratio: float
    unsupported_decimals: int
    mismatched_turns: int
    relevance: float
    empty_turns: int
    placeholder_leaks: int
    refusals: int
    template_residues: int
    details: str


_ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64()}
MEASURES_SCHEMA = pa.schema([pa.field(f.name, _ARROW[f.type], nullable=False) for f in fields(Measures)])  # type: ignore[index]


class _Findings:
    """Counts findings and remembers the first of each kind."""

    def __init__(self) -> None:
        self.first: dict[str, str] = {}

    def count(self, measure: str, findings: Iterable[str]) -> int:
        """How many findings are not empty."""
        found = [finding for finding in findings if finding]
        if found:
            self.first[measure] = found[0][:DETAIL_CHARS]
        return len(found)


def question_answers(sample: Sample) -> list[tuple[str, str]]:
    """(question, answer) of every answer; an answer without a question before it has the question ""."""
    pairs, question = [], ""
    for turn in sample.conversations:
        if turn.role == "assistant":
            pairs.append((question, turn.content))
            question = ""
        elif turn.role == "user":
            question = turn.content
    return pairs


def measure(sample: Sample) -> Measures:
    """All measures of one sample; pure."""
    pairs = question_answers(sample)
    answers = [answer for _, answer in pairs]
    found = _Findings()
    irrelevant = found.count("relevance", (refers_beyond(question, len(sample.images)) for question, _ in pairs))
    ratios = [repeated_ngrams(answer) for answer in answers]
    return Measures(
        sample_id=sample.sample_id,
        source=sample.source,
        category=sample.category,
        answer_chars=sum(map(len, answers)),
        max_turn_chars=max((len(turn.content) for turn in sample.conversations), default=0),
        repeated_ngram_ratio=max(ratios, default=0.0),
        repeated_turn_ratio=1 - len({(_asked(q), normal(a)) for q, a in pairs}) / len(pairs) if pairs else 0.0,
        unsupported_decimals=_unsupported(sample, pairs, found),
        mismatched_turns=_mismatched(sample, pairs, found),
        relevance=1 - 2 * irrelevant / len(pairs) if pairs else 1.0,
        empty_turns=found.count("empty_turns", _empty(sample)),
        placeholder_leaks=found.count("placeholder_leaks", _leaks(sample)),
        refusals=found.count("refusals", (_first(REFUSAL, answer) for answer in answers)),
        template_residues=found.count("template_residues", map(template_residue, answers)),
        details=json.dumps(found.first, sort_keys=True, ensure_ascii=False),
    )


def _asked(question: str) -> str:
    """The question for comparisons: the first of a conversation places the images, its repetition doesn't."""
    return normal(plain_text(question))


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match.group(0) if match else ""


def _empty(sample: Sample) -> Iterable[str]:
    for index, turn in enumerate(sample.conversations):
        if not plain_text(turn.content):
            yield f"turn {index + 1} ({turn.role}) is empty"
    if not any(turn.role == "assistant" for turn in sample.conversations):
        yield "no answer"


def _leaks(sample: Sample) -> Iterable[str]:
    for turn in sample.conversations:
        if turn.role == "assistant" and IMAGE_PLACEHOLDER in turn.content:
            yield f"{IMAGE_PLACEHOLDER} in an answer"
        yield _first(CONTROL, turn.content)


def _mismatched(sample: Sample, pairs: list[tuple[str, str]], found: _Findings) -> int:
    """Turns of the wrong kind and contradictions; turns of a free dialogue are left alone."""
    tasks = sample.meta.get("tasks") or [sample.meta.get("task")] * len(pairs)
    told: dict[str, str] = {}
    reasons = []
    for index, (question, answer) in enumerate(pairs):
        if index < len(tasks) and tasks[index] == DIALOGUE:
            continue
        earlier = told.setdefault(_asked(question), normal(answer))
        reason = kind_mismatch(question, answer)
        if not reason and earlier != normal(answer):
            reason = f"the same question was answered {earlier!r} before"
        reasons.append(f"{reason}: {question.strip()!r} -> {answer.strip()!r}" if reason else "")
    return found.count("mismatched_turns", reasons)


def _unsupported(sample: Sample, pairs: list[tuple[str, str]], found: _Findings) -> int:
    """The largest excess of decimals. Without an image nothing limits what an answer may know."""
    precision = sample.meta.get("precision")
    if not sample.images and precision is None:
        return 0
    facts = [*numbers_in(sample.meta), *(number for question, _ in pairs for number in numbers_in(question))]
    known = precision if isinstance(precision, int) else max(map(decimals, facts), default=None)
    excess, worst = 0, ""
    for question, answer in pairs:
        supported = supported_decimals(question, known)
        beyond = 0 if supported is None else decimals(answer) - supported
        if beyond > excess:
            excess, worst = beyond, f"{answer.strip()!r} has {decimals(answer)} decimals, {supported} are supported"
    found.count("unsupported_decimals", [worst])
    return excess


def measures_bytes(rows: list[Measures]) -> bytes:
    """The measures as one Parquet file."""
    sink = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist([asdict(row) for row in rows], schema=MEASURES_SCHEMA), sink, compression="zstd"
    )
    return sink.getvalue()


def measures_from(payload: bytes) -> list[Measures]:
    """The inverse of `measures_bytes`."""
    return [Measures(**row) for row in parquet_table(payload).to_pylist()]
