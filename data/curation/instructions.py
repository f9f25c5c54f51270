"""Answer formats: one canonical instruction per family of tasks, and the canonical form of short answers.

Eagle 2: same task, similar format; different tasks, clearly distinct formats. An instruction is paid for in every
question of the training set, so that there is a wording as short as it can be understood.
"""

import re
from typing import Literal

from data.curation.rules import CHOSEN, OPTION, POLAR, last_sentence
from data.schema import plain_text

VERSION = 2
Family = Literal["yes_no", "phrase", "number", "transcription", "letter", "free"]

Wording = Literal["brief", "full"]
# `brief` costs 2 or 3 tokens a question, which a toy model's budget feels; `full` is for models that read instructions.
INSTRUCTIONS: dict[Wording, dict[Family, str]] = {
    "brief": {
        "yes_no": "Yes or no",
        "phrase": "Short phrase",
        "number": "Number only",
        "transcription": "Exact text",
        "letter": "Letter only",
        "free": "",
    },
    "full": {
        "yes_no": "Answer yes or no.",
        "phrase": "Answer with a word or short phrase.",
        "number": "Answer with a number.",
        "transcription": "Copy the text exactly.",
        "letter": "Answer with the option's letter.",
        "free": "",
    },
}
FAMILY_OF_TASK: dict[str, Family] = {
    "yes_no": "yes_no",
    "word_appears": "yes_no",
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
    "value_at": "number",
    "difference": "number",
    "digit": "number",
    "count_words": "number",
    "line": "transcription",
    "multiple_choice": "letter",
    "dialogue": "free",
}
# Answers that copy what the image prints: a "**", a "$" or an "Answer:" in them is text to be read.
COPIED_TASKS = frozenset({"line", "first_word", "last_word"})
PHRASE_WORDS = 4
NUMBER = re.compile(r"[-+−]?[$€£]?\d[\d,]*(?:\.\d+)?\s?%?")
BOOLEAN = re.compile(r"(yes|no)[.!]?", re.I)
# Instructions for the same formats, other people's and our own; the one of the recipe's wording takes their place.
_ANSWER = r"(?:please )?answer (?:the question )?"
KNOWN = (
    _ANSWER + r"(?:using|with|in) (?:only )?(?:a |one )?(?:single )?word(?: or (?:a )?(?:short )?phrase)?",
    _ANSWER + r"(?:with|using) (?:only )?(?:a |one )?(?:single )?number",
    _ANSWER + r"(?:with |using )?(?:only )?yes or no",
    _ANSWER + r"with (?:only )?the (?:option['’]?s? )?letter(?: of the correct (?:option|answer|choice))?"
    r"(?: from the given choices)?(?: directly)?",
    r"(?:please )?(?:answer|reply) (?:briefly|concisely)",
    *(re.escape(text.rstrip(".")) for wording in INSTRUCTIONS.values() for text in wording.values() if text),
)
KNOWN_INSTRUCTION = re.compile(rf"(?:(?<=[?.!:\n])|(?<=[?.!:] ))(?:{'|'.join(KNOWN)})[.!]?\s*$", re.I)


def family_of(task: str, question: str, answer: str) -> Family:
    """The format family of a pair: by its task, or for a task that nobody declared by its question and answer."""
    if task in FAMILY_OF_TASK:
        return FAMILY_OF_TASK[task]
    text = answer.strip()
    if len(OPTION.findall(question)) >= 2 and CHOSEN.fullmatch(text):
        return "letter"
    if BOOLEAN.fullmatch(text) and POLAR.match(last_sentence(question)):
        return "yes_no"
    if NUMBER.fullmatch(text.removesuffix(".")):
        return "number"
    short = len(text.split()) <= PHRASE_WORDS and "\n" not in text and not text.endswith(("!", "?"))
    return "phrase" if short and last_sentence(question).endswith("?") else "free"


def verbatim(task: str) -> bool:
    """Whether answers of a task keep every mark: free conversation and copied text."""
    return task in COPIED_TASKS or FAMILY_OF_TASK.get(task) == "free"


def fits(family: Family, answer: str) -> bool:
    """Whether an answer obeys its family's instruction: one that it breaks is never given."""
    text = answer.strip()
    if family == "yes_no":
        return text in {"yes", "no"}
    if family == "number":
        return NUMBER.fullmatch(text) is not None
    if family == "letter":
        return re.fullmatch("[A-H]", text) is not None
    if family == "phrase":
        return len(text.split()) <= PHRASE_WORDS and "\n" not in text
    return family == "transcription"


def canonical_answer(family: Family, answer: str) -> str:
    """The answer in its family's form: `yes`/`no`, a bare option letter, a number without a final period.

    >>> canonical_answer("letter", "(b)."), canonical_answer("yes_no", "No.")
    ('B', 'no')
    """
    text = answer.strip()
    if family == "yes_no" and (boolean := BOOLEAN.fullmatch(text)):
        return boolean.group(1).lower()
    if family == "letter" and (letter := CHOSEN.fullmatch(text)):
        return letter.group(1).upper()
    if family == "number" and text.endswith(".") and NUMBER.fullmatch(text[:-1]):
        return text[:-1]
    return answer


def without_instruction(question: str) -> str:
    """The question without a known answer-format instruction at its end (the question itself is never emptied)."""
    bare = KNOWN_INSTRUCTION.sub("", question).rstrip()
    return bare if plain_text(bare) else question


def with_instruction(question: str, family: Family, wording: Wording = "brief") -> str:
    """The question with its family's instruction on a line of its own; once only."""
    instruction = INSTRUCTIONS[wording][family]
    if not instruction or question.endswith("\n" + instruction):
        return question
    return f"{question}\n{instruction}"
