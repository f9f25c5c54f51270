"""Which option an answer names, and whether it says yes or no: what the biases are counted on."""

import re

from data.curation.decorations import strip_decorations
from data.curation.rules import OPTION, normal
from data.curation.rules_mismatch import OPTION_LINE
from model.evaluation.signatures.reply import Reply

YES_NO = re.compile(r"\W*(yes|no)\b(?!\s+(?:one|parking|entry|smoking))", re.I)
LETTER = re.compile(r"(?:option |choice )?\(?([A-Z])\)?[.):]?", re.I)
LETTER_FIRST = re.compile(r"\(?([A-Z])[.):](?:\s|$)")


def options_of(reply: Reply) -> dict[str, str]:
    """The options of a question by letter: those that its benchmark declares, or those that it lists itself."""
    if reply.options:
        return dict(reply.options)
    listed = {letter: text.strip() for letter, text in OPTION_LINE.findall(reply.question)}
    return listed if len(listed) >= 2 and len(set(OPTION.findall(reply.question))) >= 2 else {}


def chosen(text: str, options: dict[str, str]) -> str:
    """The letter that an answer names, by itself, before a text, or by an option's whole text; "" if it names none."""
    bare = strip_decorations(text)[0].strip()
    if (alone := LETTER.fullmatch(bare)) and alone.group(1).upper() in options:
        return alone.group(1).upper()
    if (first := LETTER_FIRST.match(bare)) and first.group(1) in options:
        return first.group(1)
    plain = normal(bare).rstrip(".")
    found = [letter for letter, option in options.items() if option and normal(option).rstrip(".") == plain]
    return found[0] if len(found) == 1 else ""


def yes_or_no(text: str) -> str:
    """`yes` or `no` where an answer begins with it, else ""."""
    found = YES_NO.match(text)
    return found.group(1).lower() if found else ""
