"""Conversations as raw data write them, made into turns: roles, parts, image marks."""

import re
from collections.abc import Sequence
from typing import Any

from data.registry.cards import SourceCard
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import clean
from data.schema import IMAGE_PLACEHOLDER, ImageRef, Sample, Turn, make_sample

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
}


def parse_turns(turns: Any) -> tuple[Turn, ...]:
    """Turns of a list of `{from, value}` or `{role, content}`; content is text or a list of text and image parts."""
    if not isinstance(turns, list) or not turns:
        raise BadRowError("invalid_row", "`conversations` must be a list with at least one turn")
    return tuple(_turn(turn) for turn in turns)


def _turn(turn: Any) -> Turn:
    entry = turn if isinstance(turn, dict) else {}
    role = entry["from"] if entry.get("from") is not None else entry.get("role")
    content = entry["value"] if entry.get("value") is not None else entry.get("content")
    content = _joined(content) if isinstance(content, list) else content
    if not isinstance(role, str) or role not in ROLES or not isinstance(content, str):
        raise BadRowError("invalid_row", f"a turn needs from/value or role/content with a known role, found {turn}")
    return Turn(role=ROLES[role], content=clean(content, "a turn"))


def _joined(parts: list[Any]) -> str | None:
    """The text of a content list: text parts as they are, an image part as a placeholder on a line of its own."""
    texts = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else "text"
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, dict) else None
        if kind in {"image", "image_url"}:
            texts.append(f"{IMAGE_PLACEHOLDER}\n")
        elif kind == "text" and isinstance(text, str):
            texts.append(text)
        else:
            return None
    return "".join(texts)


def pair_turns(pairs: Sequence[tuple[str, str]]) -> tuple[Turn, ...]:
    """Turns of (question, answer) pairs; one without text raises `BadRowError`."""
    turns: list[Turn] = []
    for question, answer in pairs:
        for role, text in (("user", question), ("assistant", answer)):
            if not text.strip():
                raise BadRowError(f"empty_{'question' if role == 'user' else 'answer'}", "a turn has no text")
            turns.append(Turn(role=role, content=clean(text, "a turn")))
    if not turns:
        raise BadRowError("invalid_row", "no question and answer")
    return tuple(turns)


def document_turns(fields: dict[str, Any], question: str, answer: str) -> tuple[Turn, ...] | None:
    """Turns of a document by the names that its fields commonly have; None when it has no text of these kinds.

    Read is the first of `conversations`, `messages`, `texts` (user, assistant), or the fields `question` and `answer`.
    """
    if (turns := fields.get("conversations", fields.get("messages"))) is not None:
        return parse_turns(turns)
    if isinstance(texts := fields.get("texts"), list):
        return pair_turns([user_and_assistant(entry) for entry in texts])
    if question in fields and answer in fields:
        asked, answered = fields[question], fields[answer]
        if not isinstance(asked, str) or not isinstance(answered, str | int | float) or isinstance(answered, bool):
            raise BadRowError("invalid_row", f"question {asked!r}, answer {answered!r}")
        return pair_turns([(asked, str(answered))])
    return None


def user_and_assistant(entry: Any) -> tuple[str, str]:
    """(question, answer) of a `{user, assistant}` object."""
    entry = entry if isinstance(entry, dict) else {}
    question, answer = entry.get("user"), entry.get("assistant")
    if not isinstance(question, str) or not isinstance(answer, str):
        raise BadRowError("invalid_row", f"`texts` needs user and assistant, found {entry}")
    return question, answer


def with_images(turns: tuple[Turn, ...], count: int) -> tuple[Turn, ...]:
    """Turns that place `count` images at the start of the first question, unless the text places some itself."""
    if not count or any(IMAGE_PLACEHOLDER in turn.content for turn in turns):
        return turns
    first = next((index for index, turn in enumerate(turns) if turn.role == "user"), 0)
    placed = Turn(role=turns[first].role, content=f"{IMAGE_PLACEHOLDER}\n" * count + turns[first].content)
    return (*turns[:first], placed, *turns[first + 1 :])


def marked_images(turns: tuple[Turn, ...], mark: str, count: int) -> tuple[tuple[Turn, ...], list[int]]:
    """Turns with a source's own image marks as placeholders, and the index of the image that each mark means.

    `mark` is literal, as `<ImageHere>`; where it has `{n}`, as in `<image-{n}>`, that is the image's number from 1.
    """
    pattern = re.compile(re.escape(mark).replace(r"\{n\}", r"(\d{1,6})"))
    order: list[int] = []
    for turn in turns:
        found = pattern.findall(turn.content) if turn.role == "user" else []
        order += [int(number) - 1 for number in found] if pattern.groups else range(len(order), len(order) + len(found))
    if any(not 0 <= index < count for index in order):
        raise BadRowError("placeholder_mismatch", f"the text names image {max(order) + 1}, the row has {count}")
    placed = tuple(Turn(role=turn.role, content=pattern.sub(IMAGE_PLACEHOLDER, turn.content)) for turn in turns)
    return placed, order


def conversation(
    card: SourceCard, key: str, turns: tuple[Turn, ...], images: Sequence[ImageRef], task: str = "open", **meta: Any
) -> Sample:
    """The sample of a conversation whose pairs all have one task; `key` says where it stood."""
    pairs = sum(turn.role == "assistant" for turn in turns)
    return make_sample(
        source=card.name,
        category=card.category,
        images=tuple(images),
        conversations=turns,
        meta={"key": clean(key, "the key"), "task": clean(task, "the task"), "tasks": [task] * pairs, **meta},
    )


def choice_pair(question: str, choices: Sequence[str], answer: str | int, hint: str = "") -> tuple[str, str]:
    """A multiple-choice question with its options as lettered lines, and the letter of the answer.

    The answer is a letter, an index from 0, or one of the options' texts; anything else raises `BadRowError`.
    """
    letters = [chr(ord("A") + index) for index in range(len(choices))]
    texts = [choice.strip() for choice in choices]
    if not 2 <= len(choices) <= 26:
        raise BadRowError("invalid_row", f"{len(choices)} options, 2 to 26 are needed")
    if isinstance(answer, int):
        letter = letters[answer] if 0 <= answer < len(letters) else ""
    elif answer.strip().upper().strip("().") in letters:
        letter = answer.strip().upper().strip("().")
    else:
        letter = letters[texts.index(answer.strip())] if texts.count(answer.strip()) == 1 else ""
    if not letter:
        raise BadRowError("answer_not_an_option", f"answer {answer!r}, options {letters}")
    lines = [f"{name}. {text}" for name, text in zip(letters, texts, strict=True)]
    return "\n".join([*([hint.strip()] if hint.strip() else []), question.strip(), *lines]), letter
