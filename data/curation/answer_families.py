"""Families of answer formats: which one a pair belongs to, what its canonical answer is, and which answers obey it.

Eagle 2: same task, similar format; different tasks, clearly distinct formats.
"""

import re
from collections.abc import Mapping

from data.curation.answer_shapes import BOOLEAN, DATA_FENCES, FENCED, LETTER, NUMBER, PHRASE_WORDS, Shape, shape_of
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
    "caption": "sentence",
    "line": "transcription",
    "ocr": "transcription",
    "transcription": "transcription",
    "list": "list",
    "box": "box",
    "detection": "box",
    "grounding": "box",
    "json": "json",
    "table": "table",
    "page_markdown": "markdown",
    "formula": "latex",
    "code": "code",
    "detailed_caption": "detailed",
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
    "box": frozenset({"box"}),
    "json": frozenset({"json"}),
    "table": frozenset({"table"}),
    "markdown": frozenset({"markdown", "table", "text", "paragraph", "list"}),
    "latex": frozenset({"latex", "number", "phrase"}),
    "sentence": frozenset({"sentence", "phrase"}),
    "reasoning": frozenset({"steps"}),
    "detailed": frozenset({"paragraph", "text"}),
}
# What the shape of an answer says where no task is declared. A formula or a page may stand in any answer: not here.
FAMILY_OF_SHAPE: dict[Shape, Family] = {
    "quantity": "quantity",
    "box": "box",
    "json": "json",
    "table": "table",
    "list": "list",
    "steps": "reasoning",
}
DETAILED_WORDS = 30
COPY = re.compile(
    r"(?:please |can you |could you )?(?:read|transcribe|ocr|extract|recogni[sz]e|write (?:out|down))\b[^.?!\n]{0,40}"
    r"\b(?:text|words|line|letters|characters)\b[^.?!\n]{0,40}[.?!]?",
    re.I,
)
DESCRIBE = re.compile(
    r"\b(?:describe|description|caption|elaborate|what do you see|tell me (?:more )?about)\b",
    re.I,
)
CODING = re.compile(r"\b(?:code|function|program|script|html|css|svg|python|tikz|javascript)\b", re.I)
FORMULA = re.compile(r"\b(?:latex|formula|equation|expression)\b", re.I)


def family_of(task: str, question: str, answer: str, families: Mapping[str, Family] = FAMILY_OF_TASK) -> Family:
    """The format family of a pair: by its task, or for a task that nobody declared by its question and answer."""
    declared = families.get(task)
    return declared if declared is not None else _told(question, answer.strip())


def _told(question: str, text: str) -> Family:
    """The answer is looked at first: it decides which questions about the question matter."""
    shape = shape_of(text)
    if len(text) <= 24 and CHOSEN.fullmatch(text) and len(OPTION.findall(question)) >= 2:
        return "letter"
    if shape == "boolean" and POLAR.match(last_sentence(question)):
        return "yes_no"
    if asks_to_copy(question):
        return "transcription"
    if shape == "number":
        return "number"
    if shape in FAMILY_OF_SHAPE:
        return FAMILY_OF_SHAPE[shape]
    if shape == "code":
        return "code" if CODING.search(question) else "free"
    if shape == "latex":
        return "latex" if FORMULA.search(question) else "free"
    if shape in ("paragraph", "text"):
        return "detailed" if text.count(" ") >= DETAILED_WORDS and DESCRIBE.search(question) else "free"
    short = text.count(" ") < PHRASE_WORDS and "\n" not in text and not text.endswith(("!", "?"))
    return "phrase" if short and last_sentence(question).endswith("?") else "free"


def asks_to_copy(question: str) -> bool:
    """Whether the whole question is to read text out of the image."""
    return len(question) <= 240 and COPY.fullmatch(plain_text(without_instruction(question))) is not None


def verbatim(task: str, families: Mapping[str, Family] = FAMILY_OF_TASK) -> bool:
    """Whether answers of a declared task keep every mark: free conversation, copied text, code and data."""
    return task in COPIED_TASKS or families.get(task) in COPIED_FAMILIES


def fits(family: Family, answer: str) -> bool:
    """Whether an answer obeys its family's instruction: one that it breaks is never given."""
    text = answer.strip()
    if family == "yes_no":
        return text in {"yes", "no"}
    if family == "number":
        return NUMBER.fullmatch(text) is not None
    if family == "letter":
        return LETTER.fullmatch(text) is not None
    if family == "phrase":
        return len(text.split()) <= PHRASE_WORDS and "\n" not in text
    if family in SHAPES:
        html = family == "table" and text.startswith("<")  # the instruction asks for Markdown
        return shape_of(text) in SHAPES[family] and not html
    return family in ("transcription", "code") and bool(text)


def canonical_answer(family: Family, answer: str) -> str:
    """The answer in its family's form: `yes`/`no`, a bare option letter, a number without a final period, bare data.

    >>> canonical_answer("letter", "(b)."), canonical_answer("yes_no", "No.")
    ('B', 'no')
    """
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
