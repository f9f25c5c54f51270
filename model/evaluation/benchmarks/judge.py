"""The judge: another model grades what no rule can (MM-Vet), or reads a final answer out of a response (MathVista).

Any OpenAI-compatible endpoint, through the client of the curation steps: paced, retried, within its cost cap, every
paid reply kept under the hash of model, wording, version and the whole question. Nothing imitates a judge: without an
endpoint, after the cost cap, or on a reply that can't be read, a row is unjudged and says why.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data.curation.endpoint.chat import Answer, ChatRequest
from data.curation.endpoint.service import AnswerService, Ticket
from model.evaluation.answered import Answered, Verdict
from model.evaluation.benchmarks.judge_prompts import (
    EXTRACT,
    GRADE,
    JudgePrompt,
    extract_request,
    grade_request,
    read_extract,
    read_grade,
)

NO_JUDGE = "no judge was asked: name an endpoint"
CUT = frozenset({"length", "refusal", "too_large", "content_filter"})  # endings of replies that aren't whole
SHOWN = 60  # characters of a reply that a note quotes
OF_A_JUDGE = frozenset({"judge_score", "judge_note", "judge_model", "extracted"})  # facts
Ask = Callable[[Answered, JudgePrompt], ChatRequest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of asking: a row and a verdict for each given row, in their order.

    Graded rows have `judge_score` and `judge_model` among their facts, others `judge_note`. `verdicts` have None as
    their value where nothing was judged.
    """

    rows: tuple[Answered, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def unjudged(self) -> int:
        """How many rows nobody judged."""
        return sum(verdict.value is None for verdict in self.verdicts)


def graded(rows: Sequence[Answered], service: AnswerService | None, prompt: JudgePrompt = GRADE) -> Judged:
    """Grades of 0..1 by the judge (MM-Vet; the wording of the rubric is ours).

    `EndpointFailedError` when the endpoint fails for good and `on_failure` is `fail`; with `skip` those rows stay
    unjudged.
    """
    if service is None:
        return _nobody(rows)
    verdicts = [_verdict(answer, why) for answer, why in _replies(rows, service, prompt, grade_request)]
    model = service.settings.model
    named = [_with_score(row, verdict, model) for row, verdict in zip(rows, verdicts, strict=True)]
    return Judged(rows=tuple(named), verdicts=tuple(verdicts))


def extracted(rows: Sequence[Answered], service: AnswerService, prompt: JudgePrompt = EXTRACT) -> list[Answered]:
    """Rows with the final answer that the judge read out of their output as the fact `extracted` (MathVista).

    The rule takes it where the output isn't an answer already. `judge_model` names the judge; a row of which nothing
    was read has `judge_note` instead, and its rule reads the output by itself.
    """
    replies, model = _replies(rows, service, prompt, extract_request), service.settings.model
    return [_with_extract(row, answer, why, model) for row, (answer, why) in zip(rows, replies, strict=True)]


def _nobody(rows: Sequence[Answered]) -> Judged:
    verdicts = tuple(Verdict(value=None, note=NO_JUDGE) for _ in rows)
    named = tuple(_with_score(row, verdict, "") for row, verdict in zip(rows, verdicts, strict=True))
    return Judged(rows=named, verdicts=verdicts)


def _replies(
    rows: Sequence[Answered], service: AnswerService, prompt: JudgePrompt, ask: Ask
) -> list[tuple[Answer | None, str]]:
    """The reply to each row, or None and why there is none."""
    tickets = [service.ask(ask(row, prompt)) for row in rows]
    for ticket in tickets:
        service.wait(ticket)
    return [(ticket.answer, _why(ticket, service)) for ticket in tickets]


def _why(ticket: Ticket, service: AnswerService) -> str:
    if ticket.refused:
        return f"the judge refused the request: {ticket.refused}"
    if ticket.skipped:
        return f"the judge wasn't asked: {ticket.skipped}{f' ({service.failure})' if service.failure else ''}"
    return ""


def _verdict(answer: Answer | None, why: str) -> Verdict:
    if answer is None:
        return Verdict(value=None, note=why)
    value = read_grade(answer.text) if answer.finish_reason not in CUT else None
    if value is None:
        return Verdict(value=None, note=_unread(answer, "one grade from 0 to 1"))
    return Verdict(value=value, found=answer.text)


def _unread(answer: Answer, wanted: str) -> str:
    ended = f" (it ended by {answer.finish_reason})" if answer.finish_reason in CUT else ""
    return f"the judge's reply is not {wanted}{ended}: {answer.text[:SHOWN]!r}"


def _with_score(row: Answered, verdict: Verdict, model: str) -> Answered:
    if verdict.value is None:
        return replace(row, facts={**_unjudged(row), "judge_note": verdict.note})
    return replace(row, facts={**_unjudged(row), "judge_score": verdict.value, "judge_model": model})


def _with_extract(row: Answered, answer: Answer | None, why: str, model: str) -> Answered:
    text = read_extract(answer.text) if answer is not None and answer.finish_reason not in CUT else None
    if text is None:
        note = why if answer is None else _unread(answer, "a line `Answer: ...`")
        return replace(row, facts={**_unjudged(row), "judge_note": note})
    return replace(row, facts={**_unjudged(row), "extracted": text, "judge_model": model})


def _unjudged(row: Answered) -> dict[str, Any]:
    """A row's facts without those of an earlier judge."""
    return {name: value for name, value in row.facts.items() if name not in OF_A_JUDGE}
