"""Held-out conversations as single questions: the images and one question, one reference answer."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from data.errors import AerieError
from data.registry.rows import seeded_keep
from data.schema import IMAGE_PLACEHOLDER, ImageRef, Sample, table_to_samples
from data.storage import Manifest, parquet_table, read_attachment
from model.evaluation.scorers import metric_of, normalised

AnswerType = Literal["yes_no", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question, asked alone.

    `question_id` is `sample_id#n` with n the pair's number from 0. `prompt` places each of `images` once by
    `<image>`. `image_key` is equal for questions about the same images ("" without one). `rule` and what follows are
    those of `model.evaluation.answered`; `answer` is the first of `answers`.
    """

    question_id: str
    sample_id: str
    source: str
    category: str
    task: str
    answer_type: AnswerType
    prompt: str
    answer: str
    images: tuple[ImageRef, ...]
    image_key: str
    rule: str
    answers: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def answer_type(answer: str) -> AnswerType:
    """Yes/no questions are told by their reference answer."""
    return "yes_no" if normalised(answer) in {"yes", "no"} else "open"


def answered_pairs(sample: Sample) -> list[tuple[str, str, str]]:
    """(question, answer, task) of each pair, images still placed as in the conversation."""
    turns = [turn for turn in sample.conversations if turn.role != "system"]
    pairs = list(zip(turns[::2], turns[1::2], strict=False))
    tasks = sample.meta.get("tasks") or [sample.meta.get("task", "open")] * len(pairs)
    well_formed = all(question.role == "user" and answer.role == "assistant" for question, answer in pairs)
    if len(turns) % 2 or not well_formed or len(tasks) != len(pairs):
        raise AerieError(
            f"sample {sample.sample_id} of {sample.source!r}: {len(turns)} turns and {len(tasks)} tasks don't make "
            "question-answer pairs; turns must alternate user, assistant, and meta.tasks must name each pair's task"
        )
    return [(q.content, a.content, str(task)) for (q, a), task in zip(pairs, tasks, strict=True)]


def sample_questions(sample: Sample) -> list[Question]:
    """Every pair of a conversation as a question of its own; images placed so far are placed again before it."""
    questions, placed = [], 0
    for number, (text, answer, task) in enumerate(answered_pairs(sample)):
        here = text.count(IMAGE_PLACEHOLDER)
        images = sample.images[: placed + here]
        prompt = f"{IMAGE_PLACEHOLDER}\n" * placed + text
        placed += here
        questions.append(
            Question(
                question_id=f"{sample.sample_id}#{number}",
                sample_id=sample.sample_id,
                source=sample.source,
                category=sample.category,
                task=task,
                answer_type=answer_type(answer),
                prompt=prompt,
                answer=answer,
                images=images,
                image_key="+".join(image.content_hash() for image in images),
                rule=metric_of(task),
                answers=(answer,),
            )
        )
    return questions


def heldout_samples(folder: str, manifest: Manifest) -> list[Sample]:
    """The held-out samples that a step attached."""
    return table_to_samples(parquet_table(read_attachment(folder, manifest, "heldout")))


def capped(samples: Iterable[Sample], cap: int | None, seed: int) -> list[Sample]:
    """At most `cap` samples of each source by seeded choice, in their order; all when `cap` is None."""
    by_source: defaultdict[str, list[str]] = defaultdict(list)
    samples = list(samples)
    for sample in samples:
        by_source[sample.source].append(sample.sample_id)
    kept = {key for source, keys in by_source.items() for key in seeded_keep(keys, cap, seed, f"evaluation/{source}")}
    return [sample for sample in samples if sample.sample_id in kept]
