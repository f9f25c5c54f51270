"""Families of answer formats: which one a pair belongs to, what its canonical answer is, and which answers obey it.

Eagle 2: same task, similar format; different tasks, clearly distinct formats.
"""

import re
from collections.abc import Mapping

from data.curation.answer_shapes import BOOLEAN, DATA_FENCES, FENCED, PHRASE_WORDS, Shape, shape_of
from data.curation.instructions import without_instruction
from data.curation.rules import CHOSEN, OPTION, POLAR, last_sentence
from data.schema import plain_text
from data.settings.formatting import Family

FAMILY_OF_TASK: dict[str, Family] = {
    "yes_no": "yes_no",
    "word_appears": "yes_no",
    "multiple_choice": "letter",
    "value_at": "number",
    "difference": "number",
    "digit": "number",
    "count": "number",
    "counting": "number",
    "count_words": "number",
    "total": "number",
    "average": "number",
    "quantity": "quantity",
    "shape": "phrase",
    "color": "phrase",
    "max": "phrase",
    "min": "phrase",
    "trend": "phrase",
    "compare": "phrase",
    "parity": "phrase",
    "description": "phrase",
    "first_word": "phrase",
    "last_word": "phrase",
    "label": "phrase",
    "landmark": "phrase",
    "classification": "phrase",
    "region": "phrase",
    "cell": "phrase",
    "caption": "sentence",
    "line": "transcription",
    "ocr": "transcription",
    "transcription": "transcription",
    "list": "list",
    "labels": "items",
    "box": "box",
    "detection": "box",
    "grounding": "box",
    "point": "point",
    "json": "json",
    "table": "table",
    "page_markdown": "markdown",
    "formula": "latex",
    "code": "code",
    "detailed_caption": "detailed",
    "long_answer": "explained",
    "reasoning": "reasoning",
    "cot": "reasoning",
    "dialogue": "free",
}
# Answers that copy what the image prints: a "**", a "$" or an "Answer:" in them is text to be read.
COPIED_TASKS = frozenset({"line", "first_word", "last_word"})
COPIED_FAMILIES: frozenset[Family] = frozenset({"transcription", "json", "table", "markdown", "code", "free"})
# Answers that an instruction fits by their shape; the short families look closer (`fits`).
SHAPES: dict[Family, frozenset[Shape]] = {
    "quantity": frozenset({"quantity", "number"}),
    "list": frozenset({"list"}),
    "items": frozenset({"phrase", "sentence"}),
    "box": frozenset({"box"}),
    "point": frozenset({"point"}),
    "json": frozenset({"json"}),
    "table": frozenset({"table"}),
    "markdown": frozenset({"markdown", "table", "text", "paragraph", "list"}),
    "latex": frozenset({"latex", "number", "phrase"}),
    "sentence": frozenset({"sentence", "phrase"}),
    "reasoning": frozenset({"steps"}),
    "detailed": frozenset({"paragraph", "text"}),
    "explained": frozenset({"sentence", "paragraph", "text"}),
}
# What the shape of an answer says where no task is declared. A formula or a page may stand in any answer: not here.
FAMILY_OF_SHAPE: dict[Shape, Family] = {
    "number": "number",
    "quantity": "quantity",
    "box": "box",
    "point": "point",
    "json": "json",
    "table": "table",
    "list": "list",
    "steps": "reasoning",
}
CANONICAL: frozenset[Family] = frozenset(
    {"yes_no", "letter", "number", "quantity", "json", "table", "markdown", "latex"}
)
DETAILED_WORDS = 30
_READ = r"(?:please |can you |could you )?(?:read|transcribe|ocr|extract|recogni[sz]e|write (?:out|down))\b"
COPY_START = re.compile(rf"(?:<image>|\s)*{_READ}", re.I)
COPY = re.compile(rf"{_READ}[^.?!\n]{{0,40}}\b(?:text|words|line|letters|characters)\b[^.?!\n]{{0,40}}[.?!]?", re.I)
DESCRIBING = re.compile("describ|description|caption|elaborate|what do you see|tell me about|tell me more")
CODING = re.compile(r"\b(?:code|function|program|script|html|css|svg|python|tikz|javascript)\b", re.I)
FORMULA = re.compile(r"\b(?:latex|formula|equation|expression)\b", re.I)


def family_of(task: str, question: str, answer: str, families: Mapping[str, Family] = FAMILY_OF_TASK) -> Family:
    """The format family of a pair: by its task, or for a task that nobody declared by its question and answer."""
    declared, text = families.get(task), answer.strip()
    shape = shape_of(text)
    return refined(declared or told_family(question, text, shape, copies=asks_to_copy(question)), shape)


def refined(family: Family, shape: Shape) -> Family:
    """Captions come short and long under one name; a long one is asked for otherwise."""
    return "detailed" if family == "sentence" and shape in SHAPES["detailed"] else family


def told_family(question: str, text: str, shape: Shape, *, copies: bool) -> Family:
    """The family of an undeclared pair. `text` is its bare answer, `copies` says what `asks_to_copy` does.

    The answer is looked at first: it decides which questions about the question matter.
    """
    if shape == "boolean" and POLAR.match(_asking(question)):
        return "yes_no"
    told = shape_family(shape, copies=copies)
    if told is not None:
        return told
    if copies:
        return "transcription"
    if shape in ("letter", "phrase", "sentence") and chooses(text) and offers_options(question):
        return "letter"
    if shape == "code":
        return "code" if CODING.search(question) else "free"
    if shape == "latex":
        return "latex" if FORMULA.search(question) else "free"
    if shape in ("paragraph", "text"):
        return "detailed" if text.count(" ") >= DETAILED_WORDS and DESCRIBING.search(question.lower()) else "free"
    short = "?" in question and text.count(" ") < PHRASE_WORDS and "\n" not in text and not text.endswith(("!", "?"))
    return "phrase" if short else "free"


def shape_family(shape: Shape, *, copies: bool) -> Family | None:
    """The family that an undeclared answer's shape alone decides, whatever its question; None: the question does."""
    if copies and shape != "boolean":
        return "transcription"
    return FAMILY_OF_SHAPE.get(shape)


def _asking(question: str) -> str:
    """`last_sentence`; where the question ends by asking, which is usual, without looking for other sentences."""
    body = question[:-1]
    sentence = body[max(body.rfind(mark) for mark in ".?!\n") + 1 :].strip()
    return last_sentence(question) if question[-1:] != "?" or not sentence or "<" in sentence else sentence


def offers_options(question: str) -> bool:
    """Whether a question lists at least two lettered options."""
    usual = "\nA. " in question and "\nB. " in question
    return usual or len(OPTION.findall(question)) >= 2


def chooses(text: str) -> bool:
    """Whether an answer names an option by its letter: `B`, `(b).`, `Option C`."""
    return len(text) <= 24 and CHOSEN.fullmatch(text) is not None


def asks_to_copy(question: str) -> bool:
    """Whether the whole question is to read text out of the image."""
    if COPY_START.match(question) is None or len(question) > 240:
        return False
    return COPY.fullmatch(plain_text(without_instruction(question))) is not None


def verbatim(task: str, families: Mapping[str, Family] = FAMILY_OF_TASK) -> bool:
    """Whether answers of a declared task keep every mark: free conversation, copied text, code and data."""
    return task in COPIED_TASKS or families.get(task) in COPIED_FAMILIES


def fits(family: Family, answer: str) -> bool:
    """Whether an answer obeys its family's instruction: one that it breaks is never given."""
    text = answer.strip()
    return fits_shape(family, text, shape_of(text))


def fits_shape(family: Family, text: str, shape: Shape) -> bool:
    """`fits` for a text without whitespace around it, whose shape is known."""
    if family == "yes_no":
        return text in ("yes", "no")
    if family == "number":
        return shape == "number" and not text.endswith(".")
    if family == "letter":
        return shape == "letter"
    if family == "phrase":
        return len(text.split()) <= PHRASE_WORDS and "\n" not in text
    if family in SHAPES:
        html = family == "table" and text.startswith("<")  # the instruction asks for Markdown
        return shape in SHAPES[family] and not html
    return family in ("transcription", "code") and bool(text)


def canonical_answer(family: Family, answer: str) -> str:
    """The answer in its family's form: `yes`/`no`, a bare option letter, a number without a final period, bare data.

    >>> canonical_answer("letter", "(b)."), canonical_answer("yes_no", "No.")
    ('B', 'no')
    """
    if family not in CANONICAL:
        return answer
    text = answer.strip()
    if family == "yes_no" and (boolean := BOOLEAN.fullmatch(text)):
        return boolean.group(1).lower()
    if family == "letter" and (letter := CHOSEN.fullmatch(text)):
        return letter.group(1).upper()
    if family in ("number", "quantity") and text.endswith(".") and fits(family, text[:-1]):
        return text[:-1]
    if family in ("json", "table", "markdown", "latex") and (fenced := FENCED.fullmatch(text)):
        return fenced.group(2) if fenced.group(1).lower() in {*DATA_FENCES, ""} else answer
    return answer
