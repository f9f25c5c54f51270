"""Numbers with more decimals than the question, its facts or its references support (paper, Figure 5)."""

from data.curation.rules_numbers import (
    DEFAULT_DECIMALS,
    DERIVED,
    DERIVED_DECIMALS,
    FACTS,
    decimals,
    numbers_in,
    supported_decimals,
)
from model.evaluation.signatures.reply import Reply

MARK = "decimals"


def printed_decimals(reply: Reply) -> int:
    """Decimals that the question's image is known or commonly known to print; of the question if more."""
    stated = reply.known.get("precision")
    if isinstance(stated, int | float) and not isinstance(stated, bool):
        return int(stated)
    facts = [number for name in FACTS for number in numbers_in(reply.known.get(name))]
    base = max(map(decimals, facts)) if facts else DEFAULT_DECIMALS
    return max(base, decimals(reply.question))


def pattern(reply: Reply) -> str:
    """Decimals beyond the image's, also where the answer claims to copy them. Text alone limits nothing."""
    if not reply.images and reply.known.get("precision") is None:
        return ""
    shown = decimals(reply.text)
    if not shown:
        return ""
    derived = DERIVED_DECIMALS if DERIVED.search(reply.question) else 0
    return MARK if shown > printed_decimals(reply) + derived else ""


def misplaced(reply: Reply) -> bool:
    """Whether no reference has as many decimals; of a training answer, whether its question doesn't ask to copy."""
    if reply.references:
        return decimals(reply.text) > max(map(decimals, reply.references))
    return supported_decimals(reply.question, printed_decimals(reply)) is not None
