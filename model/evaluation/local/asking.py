"""What every local benchmark is made with: its held-out samples, their own questions, and how a new one is written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from data.curation.formatting_pairs import PairFormatter
from data.registry.rows import seeded_rank
from data.schema import IMAGE_PLACEHOLDER, Sample
from data.settings.formatting import FormattingSettings
from model.evaluation.questions import Question, answer_type, sample_questions

Item = TypeVar("Item")


@dataclass(frozen=True)
class Asking:
    """Held-out samples with an image, in the order of their ids; questions are worded as `formatting` has it."""

    samples: tuple[Sample, ...]
    seed: int
    formatting: FormattingSettings

    @classmethod
    def of(cls, samples: Iterable[Sample], seed: int, formatting: FormattingSettings) -> "Asking":
        """Samples without an image are left out: none of the benchmarks asks without one."""
        pictured = (sample for sample in samples if sample.images)
        return cls(tuple(sorted(pictured, key=lambda sample: sample.sample_id)), seed, formatting)

    @cached_property
    def pairs(self) -> list[tuple[Sample, Question]]:
        """Every question that the samples themselves bring along."""
        return [(sample, question) for sample in self.samples for question in sample_questions(sample)]

    @cached_property
    def _format(self) -> PairFormatter:
        return PairFormatter(self.formatting)

    def again(self, benchmark: str, sample: Sample, question: Question, rule: str, **changes: Any) -> Question:
        """A sample's own question, word for word, under a benchmark's rule."""
        facts = {"source": sample.source, **changes.pop("facts", {})}
        number = question.question_id.rpartition("#")[2]
        return replace(
            question,
            question_id=f"{benchmark}/{sample.sample_id}#{number}",
            source=benchmark,
            rule=rule,
            facts=facts,
            **changes,
        )

    def anew(
        self,
        benchmark: str,
        sample: Sample,
        key: str,
        pair: tuple[str, str, str],
        rule: str,
        *,
        also: Sequence[str] = (),
        options: tuple[tuple[str, str], ...] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> Question:
        """A question that the sample's own facts answer; `pair` is (question, answer, task), `also` accepted answers.

        The instruction is that of the recipe's wording for the task, as in training.
        """
        text, answer, task = pair
        return Question(
            question_id=f"{benchmark}/{sample.sample_id}#{key}",
            sample_id=sample.sample_id,
            source=benchmark,
            category=sample.category,
            task=task,
            answer_type=answer_type(answer),
            prompt=f"{IMAGE_PLACEHOLDER}\n" * len(sample.images) + self._format(task, text, answer).question,
            answer=answer,
            images=sample.images,
            image_key="+".join(image.content_hash() for image in sample.images),
            rule=rule,
            answers=(answer, *also),
            options=options,
            facts={"source": sample.source, **(facts or {})},
        )


def spread(
    items: Sequence[Item], most: int | None, seed: int, about: Callable[[Item], tuple[str, str, str]]
) -> list[Item]:
    """At most `most` items, as evenly over sources and tasks as there are enough; `about` is (source, task, id).

    Which of a task's items are taken is a seeded choice by id: the order of samples changes nothing.
    """
    if most is None or len(items) <= most:
        return list(items)
    rounds: dict[str, tuple[int, int]] = {}
    strata: dict[tuple[str, str], list[str]] = {}
    for source, task, key in map(about, items):
        strata.setdefault((source, task), []).append(key)
    for keys in strata.values():
        ranked = sorted((seeded_rank(seed, "local", key), key) for key in keys)
        rounds |= {key: (turn, rank) for turn, (rank, key) in enumerate(ranked)}
    kept = set(sorted(rounds, key=lambda key: rounds[key])[:most])
    return [item for item in items if about(item)[2] in kept]
