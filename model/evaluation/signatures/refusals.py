"""Answers that refuse or give up."""

import re

from data.curation.rules import first_match
from data.curation.rules_leaks import REFUSAL
from model.evaluation.signatures.reply import Reply

# Whole answers that give up; within a longer answer the words may be part of it.
_UNKNOWING = (
    r"i (?:do not|don['’]t) know(?: the answer)?|i (?:am|['’]m) not sure|unanswerable|not answerable|no answer|n/a"
    r"|(?:there is )?(?:not enough|insufficient|no) information(?: provided| available)?"
    r"|(?:it |this |the answer )?(?:can ?not|can['’]t) be (?:determined|answered|seen)"
    r"|unable to (?:determine|answer|tell)|抱歉|对不起|无法回答|无法确定|不知道"
)
GIVING_UP = re.compile(
    rf"(?:sorry[,.!]?\s*)?(?:but )?(?:{_UNKNOWING})(?:(?:[.!。,,]|\s(?:to|from|because|based|about|in)\b).*)?",
    re.I | re.S,
)


def refusal_mark(text: str) -> str:
    """`refusal` for a model's excuse, `gives up` for a whole answer that says there is none; "" for others."""
    if first_match(REFUSAL, text):
        return "refusal"
    return "gives up" if GIVING_UP.fullmatch(text.strip()) else ""


def pattern(reply: Reply) -> str:
    """`refusal_mark` of the answer."""
    return refusal_mark(reply.text)


def misplaced(reply: Reply) -> bool:
    """Whether the question has an answer: no reference gives up as well."""
    return not any(map(refusal_mark, reply.references))
