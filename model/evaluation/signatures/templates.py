"""A fixed form around or in place of an answer: unfilled slots, control tokens, wrappers, and stock openings."""

import re

from data.curation.answer_families import verbatim
from data.curation.decorations import strip_decorations
from data.curation.rules import CODE, COPYING, READING
from data.curation.rules_leaks import CONTROL, template_residue
from data.schema import IMAGE_PLACEHOLDER
from model.evaluation.signatures.reply import Reply

# The kinds of `strip_decorations` that are no LaTeX (that is another signature) and more than whitespace.
WRAPPERS = ("end_token", "answer_prefix", "bold", "html_face", "inline_code", "quotes", "heading")
OPENING = re.compile(
    r"\s*(?:(?:sure|certainly|of course|absolutely)[,!.]\s"
    r"|here(?:['’]s| is| are) (?:the|your|a) (?:answer|result|text|transcription|description|output|response|caption)"
    r"|(?:based on|according to|from) the (?:given |provided |attached |above )?(?:image|picture|photo|chart)[,:]"
    r"|(?:as|what is) (?:shown|seen) in the (?:image|picture)[,:])",
    re.I,
)
# Marks that an image may print and a transcription has to keep.
PRINTED = frozenset({"quotes", "bold", "heading", "answer_prefix"})
DEMANDED = re.compile(r"answer\s*:|\*\*|```|<answer>|markdown|\bquot", re.I)


def template_mark(text: str) -> str:
    """The kind of template in a text: `control token`, `open slot`, a kind of decoration or `opening`; "" for none."""
    if IMAGE_PLACEHOLDER in text or CONTROL.search(text):
        return "control token"
    residue = template_residue(text)
    if residue and not residue.startswith("\\"):
        return "open slot"
    kinds = strip_decorations(text)[1]
    if found := next((kind for kind in kinds if kind in WRAPPERS), ""):
        return found.replace("_", " ")
    return "opening" if OPENING.match(CODE.sub(" ", text)) else ""


def pattern(reply: Reply) -> str:
    """`template_mark` of the answer; free conversation and data keep their marks."""
    found = template_mark(reply.text)
    return found if found in ("control token", "open slot") or not verbatim(reply.task) else ""


def misplaced(reply: Reply) -> bool:
    """Whether the question asks for no such form, and no reference has it."""
    found = template_mark(reply.text)
    if found not in ("control token", "open slot") and DEMANDED.search(reply.question):
        return False
    copies = READING.search(reply.question) or COPYING.search(reply.question)
    if not reply.references and copies and found.replace(" ", "_") in PRINTED:
        return False
    return not any(template_mark(reference) == found for reference in reply.references)
