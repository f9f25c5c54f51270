"""The form of an answer: what its question asks for, what the references look like, and what was said instead."""

import re

from data.curation.answer_families import (
    FAMILY_OF_TASK,
    asks_to_copy,
    canonical_answer,
    fits_shape,
    offers_options,
    told_family,
)
from data.curation.answer_shapes import PHRASE_WORDS, Shape, shape_of
from data.curation.instructions import INSTRUCTIONS
from data.curation.rules import POLAR, last_sentence
from data.curation.rules_mismatch import CHOICE, HOW_MANY, LETTER_AND_TEXT, OPEN_WORD
from data.settings.formatting import Family
from model.evaluation.signatures.latex import latex_mark
from model.evaluation.signatures.reply import Reply

# How benchmarks ask for a form, besides the wordings that the formatting step gives.
WORDINGS: tuple[tuple[str, Family], ...] = (
    (r"['\"“]?\byes\b['\"”]? or ['\"“]?no\b", "yes_no"),
    (r"(?:single|one) word or (?:a )?(?:short |single )?phrase|(?:short|single) phrase|\bone word\b", "phrase"),
    (r"option['’]?s? letter|letter (?:of|from) the|with the (?:correct )?letter|letter only|only the letter", "letter"),
    (r"(?:single|only a|with a|just the) (?:number|integer)\b|\bnumber only", "number"),
)
ASKED = tuple((re.compile(pattern, re.I), family) for pattern, family in WORDINGS)
GIVEN: dict[str, Family] = {
    text.rstrip(".").lower(): family for wording in INSTRUCTIONS.values() for family, text in wording.items() if text
}
ENDINGS = tuple(GIVEN)
REASONED = re.compile(r"step[- ]by[- ]step|explain|rationale|reason(?:s|ing)?\b|show your work", re.I)
FREE = re.compile(rf"{REASONED.pattern}|in detail|describe|why\b", re.I)
REQUEST = re.compile(r"(?:can|could|would|will) (?:you|we|i)\b", re.I)
UNMEASURED: frozenset[Family] = frozenset({"free", "transcription", "code"})  # any text may be right
LONG_PHRASE = 2 * PHRASE_WORDS  # an answer of so many words without a full stop is still a phrase
BRIEF: frozenset[Shape] = frozenset({"letter", "boolean", "number", "quantity", "phrase", "sentence"})
LONG: frozenset[Shape] = frozenset({"paragraph", "text", "steps", "markdown", "list"})


def requested_family(question: str) -> Family | None:
    """The format that a question asks for in so many words; None where it doesn't."""
    tail = question.strip().rstrip(".!").lower()
    for text, family in GIVEN.items() if tail.endswith(ENDINGS) else ():
        if tail.endswith(text) and tail[: -len(text)].rstrip(" ").endswith(("?", ".", ":", "!", "\n")):
            return family
    if FREE.search(question):
        return None
    return next((family for pattern, family in ASKED if pattern.search(question)), None)


def implied_family(reply: Reply) -> Family | None:
    """The format that the task or the kind of question implies."""
    declared = FAMILY_OF_TASK.get(reply.task)
    if declared is not None:
        return declared
    question = reply.question
    if FREE.search(question):
        return None
    if reply.options or offers_options(question):
        return "letter"
    if asks_to_copy(question):
        return "transcription"
    sentence = last_sentence(question)
    if HOW_MANY.search(sentence):
        return "number"
    polar = POLAR.match(sentence) and not CHOICE.search(sentence) and not REQUEST.match(sentence)
    return "yes_no" if polar else None


def obeys(family: Family, text: str) -> bool:
    """Whether an answer has the form of a family, canonical spelling apart (`Yes.`, `(b)`); phrases may be long."""
    bare = canonical_answer(family, text).strip()
    shape = shape_of(bare)
    if family == "phrase" and (shape in BRIEF or (shape == "latex" and not latex_mark(bare))):  # `file_name`
        return len(bare.split()) <= (PHRASE_WORDS if bare.endswith((".", "!", "?")) else LONG_PHRASE)
    return fits_shape(family, bare, shape) and (family != "phrase" or shape in BRIEF)


def expected_family(reply: Reply) -> Family | None:
    """The family whose form an answer should have; None where any would do.

    What the references look like wins over what the question seems to ask for.
    """
    asked = requested_family(reply.question) or implied_family(reply)
    if not reply.references:
        # Only a hint: a sentence is no wrong answer to "What is he doing?", but whoever learns it says it elsewhere.
        hint: Family | None = "phrase" if OPEN_WORD.match(last_sentence(reply.question)) else None
        return asked or (None if FREE.search(reply.question) else hint)
    if asked == "phrase" and implied_family(reply) == "yes_no" and _all_obey("yes_no", reply):
        return "yes_no"  # "a single word or phrase" is asked of every question of some benchmarks
    if asked is not None and any(obeys(asked, reference) for reference in reply.references):
        return asked
    copies = asks_to_copy(reply.question)
    told = {told_family(reply.question, text.strip(), shape_of(text), copies=copies) for text in reply.references}
    return told.pop() if len(told) == 1 else None


def pattern(reply: Reply) -> str:
    """`phrase → paragraph`: the form that was due and the shape that came; "" where these agree."""
    said = shape_of(reply.text)
    if said == "empty" or said in {shape_of(reference) for reference in reply.references}:
        return ""
    if FAMILY_OF_TASK.get(reply.task) == "free":
        return ""  # conversation takes any form
    if REASONED.search(reply.question) and requested_family(reply.question) is None:
        return ""  # the answer stands at the end of whatever was thought
    family = expected_family(reply)
    if family is not None and family not in UNMEASURED:
        return "" if obeys(family, reply.text) or _names_option(reply, family) else f"{_form(family)} → {said}"
    shapes = {shape_of(reference) for reference in reply.references}
    return "" if not shapes or any(map(_alike, [said] * len(shapes), shapes)) else f"{min(shapes)} → {said}"


def _all_obey(family: Family, reply: Reply) -> bool:
    return all(obeys(family, reference) for reference in reply.references)


def _form(family: Family) -> str:
    return family.replace("_", "/")


def _names_option(reply: Reply, family: Family) -> bool:
    """`B. red` is a form of `B` where nobody asked for the letter alone."""
    whole = LETTER_AND_TEXT.fullmatch(reply.text.strip()) is not None
    return family == "letter" and whole and requested_family(reply.question) is None


def _alike(one: Shape, other: Shape) -> bool:
    """Whether two shapes are of one kind: brief, long, or the same data."""
    return one == other or any({one, other} <= kind for kind in (BRIEF, LONG))


def misplaced(reply: Reply) -> bool:
    """Whether the form was due: outputs are measured by their references, training answers by words or kind of task."""
    return bool(reply.references) or (requested_family(reply.question) or implied_family(reply)) is not None
