"""One answer with what it was given to: an output beside its references, or an answer that was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from data.curation.talk import Talk
from data.schema import IMAGE_PLACEHOLDER, Sample
from model.evaluation.predictions import Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What every detector looks at, so that outputs and training answers are judged by the same function.

    `question` is the whole prompt with its `<image>` placeholders; `images` counts those that stand in it or before.
    `references` are the right answers to an output; a training answer has none: it is what is learnt. `known` holds a
    question's facts, or a sample's `meta`.
    """

    question: str
    text: str
    references: tuple[str, ...] = ()
    images: int = 0
    task: str = ""
    category: str = ""
    options: tuple[tuple[str, str], ...] = ()
    known: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, prediction: Prediction) -> "Reply":
        """An output."""
        return cls(
            question=prediction.prompt,
            text=prediction.output,
            references=prediction.answers or (prediction.answer,),
            images=len(prediction.images) or prediction.prompt.count(IMAGE_PLACEHOLDER),
            task=prediction.task,
            category=prediction.category,
            options=prediction.options,
            known=prediction.facts,
        )

    def saying(self, text: str) -> "Reply":
        """The same question with another answer; how a detector looks at a reference."""
        return replace(self, text=text, references=())


def training_replies(sample: Sample) -> list[Reply]:
    """Every answer of a sample in order; images are counted by their placeholders, so that no bytes are needed."""
    talk, placed, replies = Talk.of(sample), 0, []
    for (question, answer), task in zip(talk.pairs(), talk.tasks(), strict=True):
        placed += question.count(IMAGE_PLACEHOLDER)
        replies.append(
            Reply(
                question=question,
                text=answer,
                images=placed,
                task=str(task or ""),
                category=sample.category,
                known=sample.meta,
            )
        )
    return replies
