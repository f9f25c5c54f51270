"""Turns that are empty or out of order."""

import re

from data.curation.talk import Talk
from data.schema import plain_text

EXPECTED = ("user", "assistant")
BLANK = re.compile(r"[\s.…_*#~–—-]+")  # says nothing, unless a sign was asked for
SIGN = re.compile(r"\b(?:symbols?|marks?|signs?|punctuation|operators?|characters?|operations?|morse|pattern)\b", re.I)


def empty_turns(talk: Talk) -> list[str]:
    """Turns without text, and a conversation without an answer."""
    found = [
        f"turn {index + 1} ({role}) is empty"
        for index, (role, text) in enumerate(zip(talk.roles, talk.texts, strict=True))
        if not plain_text(text) or (role == "assistant" and BLANK.fullmatch(text) and not _asks_for_a_sign(talk, index))
    ]
    return found if "assistant" in talk.roles else [*found, "no answer"]


def _asks_for_a_sign(talk: Talk, index: int) -> bool:
    return index > 0 and SIGN.search(talk.texts[index - 1]) is not None


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
