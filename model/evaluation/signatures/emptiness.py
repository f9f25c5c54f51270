"""Answers that say nothing."""

from data.curation.rules_turns import BLANK, SIGN
from data.schema import plain_text
from model.evaluation.signatures.reply import Reply

EASTERN = str.maketrans("。、,・", "....")  # full stops and commas that say as little as theirs


def blank(text: str) -> bool:
    """Whether a text is nothing but dots, dashes and the like."""
    return BLANK.fullmatch(text.translate(EASTERN)) is not None


def pattern(reply: Reply) -> str:
    """`empty` for no text at all, `marks only` for dots and dashes that nobody asked for; "" for others."""
    if not plain_text(reply.text):
        return "empty"
    return "marks only" if blank(reply.text) and not SIGN.search(reply.question) else ""


def misplaced(reply: Reply) -> bool:
    """Whether a reference says something."""
    return not any(blank(reference) or not plain_text(reference) for reference in reply.references)
