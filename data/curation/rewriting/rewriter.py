"""Sends samples through the endpoint: many questions in flight, samples out in the order in which they came in."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from data.curation.endpoint.service import AnswerService, Ticket
from data.curation.rewriting.answer_check import check
from data.curation.rewriting.pairs import FAMILIES, KINDS, in_share, settings_of, short_pairs, with_rewrite
from data.curation.rewriting.prompts import Kind, Pair, request_for
from data.curation.rewriting.rewrite_report import RewriteReport
from data.schema import Sample
from data.settings.augmentation import AugmentationSettings, CotSettings

HELD_SAMPLES = 256  # at most, with their images, while answers are on their way
OUTSIDE = "image bytes are not in the shard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A pair that was asked about."""

    kind: Kind
    pair: Pair
    ticket: Ticket


@dataclass(slots=True, kw_only=True)
class Rewriter:
    """Chooses pairs, asks, checks, rewrites, and counts. Without a service it only counts what it would have asked."""

    settings: AugmentationSettings
    seed: int
    service: AnswerService | None
    reports: dict[Kind, RewriteReport] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in KINDS:
            if settings_of(kind, self.settings) is not None:
                self.reports[kind] = RewriteReport(asked=self.service is not None)

    def __call__(self, samples: Iterable[tuple[Sample, Sample]]) -> Iterator[Sample]:
        """Rewrite pairs of each sample's `original`; the results go into its `extended` form.

        `samples` are (original, extended by rules); the extended ones come out, in order, at most `HELD_SAMPLES` late.
        """
        held: deque[tuple[Sample, list[Job]]] = deque()
        for original, extended in samples:
            held.append((extended, self._jobs(original) if self.reports else []))
            while held and (len(held) > HELD_SAMPLES or all(job.ticket.settled for job in held[0][1])):
                yield self._finished(*held.popleft())
        while held:
            yield self._finished(*held.popleft())

    def document(self) -> dict[str, Any]:
        """The report of each kind that the recipe asks for."""
        return {kind: report.document() for kind, report in self.reports.items()}

    def _jobs(self, sample: Sample) -> list[Job]:
        jobs: list[Job] = []
        pairs = tuple(short_pairs(sample))
        for number, pair in enumerate(pairs):
            replaced = False
            for kind, report in self.reports.items():
                settings = settings_of(kind, self.settings)
                if settings is None or pair.family not in FAMILIES[kind] or (replaced and settings.mode == "replace"):
                    continue
                report.fitting += 1
                if in_share(self.seed, kind, sample, pair, settings):
                    report.chosen += 1
                    replaced = replaced or settings.mode == "replace"
                    jobs += self._asked(kind, sample, pair, pairs[:number])
        return jobs

    def _asked(self, kind: Kind, sample: Sample, pair: Pair, before: tuple[Pair, ...]) -> list[Job]:
        if self.service is None:
            return []
        if any(image.bytes is None for image in sample.images):
            self.reports[kind].skipped[OUTSIDE] += 1
            return []
        settings = settings_of(kind, self.settings)
        assert settings is not None
        reveal = settings.reveal_answer if isinstance(settings, CotSettings) else True
        earlier = before[max(0, len(before) - settings.context_pairs) :]
        request = request_for(kind, pair, sample.images, earlier, reveal_answer=reveal)
        return [Job(kind=kind, pair=pair, ticket=self.service.ask(request))]

    def _finished(self, sample: Sample, jobs: list[Job]) -> Sample:
        """The sample with every rewrite that came and passed; all else as it was."""
        for job in jobs:
            assert self.service is not None
            self.service.wait(job.ticket)
            sample = self._rewritten(sample, job)
        return sample

    def _rewritten(self, sample: Sample, job: Job) -> Sample:
        report, ticket = self.reports[job.kind], job.ticket
        settings = settings_of(job.kind, self.settings)
        assert settings is not None
        if ticket.answer is None:
            report.not_answered(ticket.skipped, ticket.refused)
            return sample
        verdict = check(job.kind, ticket.answer, job.pair.answer, job.pair.family, settings)
        if verdict.reason:
            report.reject(verdict.reason, sample, job.pair, ticket.answer.text)
            return sample
        after = with_rewrite(sample, job.kind, job.pair, verdict.text, settings.mode, ticket.answer, ticket.key)
        report.accept(sample, job.pair, verdict.text)
        return after
