"""One more question with its answer, and the tasks of a conversation's pairs."""

from dataclasses import dataclass
from typing import Any

from data.schema import Sample, plain_text


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedTurn:
    """One question with its answer. `inputs` are the facts that the answer was computed from (JSON values)."""

    question: str
    answer: str
    task: str
    inputs: dict[str, Any]


def tasks_of(sample: Sample) -> list[str]:
    """The task of each question-answer pair in order."""
    pairs = sum(turn.role == "assistant" for turn in sample.conversations)
    return [str(task) for task in sample.meta.get("tasks") or [sample.meta.get("task", "open")] * pairs]


def unless_asked(sample: Sample, question: str, answer: str, task: str, inputs: dict[str, Any]) -> AddedTurn | None:
    """The added turn, or None when the conversation asks this already, word for word."""
    asked = {plain_text(turn.content) for turn in sample.conversations if turn.role == "user"}
    if plain_text(question) in asked:
        return None
    return AddedTurn(question=question, answer=answer, task=task, inputs=inputs)


def meta_with(sample: Sample, tasks: list[str], provenance: dict[str, Any]) -> dict[str, Any]:
    """The sample's meta with new tasks and one more entry in `augmentation`."""
    meta = {key: value for key, value in sample.meta.items() if key != "task"}
    if len(set(tasks)) == 1:
        meta["task"] = tasks[0]
    return {**meta, "tasks": tasks, "augmentation": [*sample.meta.get("augmentation", []), provenance]}
