"""Turns that are empty or out of order."""

from data.curation.talk import Talk
from data.schema import plain_text

EXPECTED = ("user", "assistant")


def empty_turns(talk: Talk) -> list[str]:
    """Turns without text, and a conversation without an answer."""
    found = [
        f"turn {index + 1} ({role}) is empty"
        for index, (role, text) in enumerate(zip(talk.roles, talk.texts, strict=True))
        if not plain_text(text)
    ]
    return found if "assistant" in talk.roles else [*found, "no answer"]


def order_errors(talk: Talk) -> list[str]:
    """Turns that break the order: one system turn at most, then user and assistant in turn, an answer last."""
    lead = int(talk.roles[:1] == ("system",))
    found = [
        f"turn {index + 1} is by {role!r}, expected {EXPECTED[(index - lead) % 2]!r}"
        for index, role in enumerate(talk.roles)
        if index >= lead and role != EXPECTED[(index - lead) % 2]
    ]
    if talk.roles[-1:] != ("assistant",):
        found.append(f"ends with {talk.roles[-1] if talk.roles else 'nothing'!r}, not with an answer")
    return found
