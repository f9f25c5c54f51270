"""One conversation as the exact rules read it."""

import json
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from data.schema import IMAGE_PLACEHOLDER, Sample, plain_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """Turns of one sample: roles and texts in order, the number of its images, and `meta` as JSON text."""

    roles: tuple[str, ...]
    texts: tuple[str, ...]
    images: int
    meta: str

    @classmethod
    def of(cls, sample: Sample) -> "Talk":
        """A sample's turns."""
        return cls(
            roles=tuple(turn.role for turn in sample.conversations),
            texts=tuple(turn.content for turn in sample.conversations),
            images=len(sample.images),
            meta=json.dumps(sample.meta),
        )

    @property
    def known(self) -> dict[str, Any]:
        """`meta` parsed."""
        known = json.loads(self.meta) if self.meta else {}
        return known if isinstance(known, dict) else {}

    @property
    def answers(self) -> list[str]:
        """The assistant's turns."""
        return [text for role, text in zip(self.roles, self.texts, strict=True) if role == "assistant"]

    def pairs(self) -> list[tuple[str, str]]:
        """(question, answer) of every answer; an answer without a question before it has the question ""."""
        pairs, question = [], ""
        for role, text in zip(self.roles, self.texts, strict=True):
            if role == "assistant":
                pairs.append((question, text))
                question = ""
            elif role == "user":
                question = text
        return pairs

    def tasks(self) -> list[str | None]:
        """The task of each pair, None where the sample doesn't tell."""
        known, pairs = self.known, len(self.answers)
        tasks = list(known.get("tasks") or [known.get("task")] * pairs)
        return (tasks + [None] * pairs)[:pairs]

    def snippet(self, longest: int) -> str:
        """The conversation in one short text."""
        text = "\n".join(f"{role}: {text}" for role, text in zip(self.roles, self.texts, strict=True))
        return text if len(text) <= longest else text[: longest - 1] + "…"


def images_so_far(pairs: list[tuple[str, str]]) -> list[int]:
    """How many images each question and those before it place: the same words about a next image ask something new."""
    return list(accumulate(question.count(IMAGE_PLACEHOLDER) for question, _ in pairs))


def asked(question: str) -> str:
    """A question for comparisons: the first of a conversation places the images, its repetition doesn't."""
    return " ".join(plain_text(question).lower().split())
