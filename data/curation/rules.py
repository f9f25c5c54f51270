"""Rules on one question and its answer, as plain functions of text; each returns what is wrong, or "" (or 0).

They stand for the paper's filters: mismatched question-answer, image irrelevant to the question, repeated text,
unsupported numeric precision; plus leaks that a training text must never hold.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from data.schema import IMAGE_PLACEHOLDER

SHORT_WORDS = 4  # a longer answer is free text, whose kind can't be told by a rule
NGRAM_WORDS, NGRAM_CHARS = 3, 10
DEFAULT_DECIMALS = 2  # what a picture commonly prints (prices, percentages) when no number in the sample is known
DERIVED_DECIMALS = 2  # more than its inputs have: what an average or a ratio may show

BOOLEANS = frozenset({"yes", "no", "true", "false"})
HEDGES = frozenset({"not", "nope", "yeah", "yep", "maybe", "perhaps", "possibly", "unknown", "unclear", "sometimes"})
AUXILIARIES = "is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|must|may|might"
POLAR = re.compile(rf"(?:{AUXILIARIES})(?:n't)?\b", re.I)
OPEN_WORD = re.compile(r"(?:what|which|who|whom|whose|where|when|why|how)\b", re.I)
CHOICE = re.compile(r"\bor\b|,", re.I)
HOW_MANY = re.compile(r"\b(?:how many|what number of)\b", re.I)
_COUNTS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million
    billion dozen hundreds thousands millions billions dozens no none neither both several many few couple pair
    single all
"""
NUMBER_WORDS = frozenset(_COUNTS.split())
OPTION = re.compile(r"(?:^|[\s(])\(?([A-H])[.):]\s*(?=\S)")
CHOSEN = re.compile(r"(?:the )?(?:answer|option|choice)?(?: is)?[:\s]*\(?([A-H])\)?[.):]?", re.I)
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
DECIMAL = re.compile(r"(?<![\w.])\d[\d,]*\.(\d+)(?![\d]*\.?\w)")
DERIVED = re.compile(r"\b(?:average|mean|ratio|rate|percent(?:age)?|share|proportion|per|divided|deviation)\b", re.I)
# "no" is an answer to "What is the first word?": it stands in the image.
COPYING = re.compile(
    r"\b(?:words?|letters?|text|sign|label|line|title|caption|says?|written|spell(?:ed|s)?|button)\b", re.I
)
READING = re.compile(r"\b(?:read|transcribe|ocr|written|what does (?:it|this|the \w+) say)\b", re.I)
IMAGE_TALK = re.compile(
    r"\b(?:(?:in|on|of|from) (?:the|this|that) (?:image|picture|photo|photograph|figure|chart|graph|diagram|screenshot)"
    r"|(?:image|picture|photo|figure|chart|graph|diagram|screenshot) (?:above|below|shown|show|shows)"
    r"|shown (?:above|below|here)|(?:describe|look at) (?:the|this) (?:image|picture|photo)"
    r"|(?:read|transcribe) the (?:text|sign|label))\b",
    re.I,
)
NTH_IMAGE = re.compile(r"\b(second|third|fourth) (?:image|picture|photo)\b|\b(?:image|picture) ([2-9])\b", re.I)
ORDINALS = {"second": 2, "third": 3, "fourth": 4}
REFUSAL = re.compile(
    r"\b(?:as an ai(?: language)? (?:model|assistant)\b.{0,40}\b(?:can ?not|can['’]t|unable|do not|don['’]t)"
    r"|i(?:['’]m| am) (?:sorry|afraid),? (?:but )?i (?:can ?not|can['’]t|am unable)"
    r"|i(?:['’]m| am) (?:unable|not able) to (?:see|view|assist|help|answer|provide|process)"
    r"|i (?:can ?not|can['’]t) (?:see|view|assist with|help with|answer) (?:the|this|that|any))",
    re.I | re.S,
)
CONTROL = re.compile(r"<\|[a-z_]+\|>|</?(?:img|IMG_CONTEXT)>")
SLOTS = re.compile(
    r"(?<![\w}^_])\{\{[^{}\n]*\}\}|\{(?:answer|question|value|name|text|number|label|result)\}"
    r"|\[(?:insert|your|fill)\b[^\]\n]*\]|<(?:answer|insert|your)[^<>\n]*>(?!.*</)"
    r"|\\(?:boxed|text|frac|mathrm|textbf)\s*\{\s*\}",
    re.I,
)
CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.S)
LATEX_BLOCK = re.compile(r"\\(begin|end)\s*\{([^{}]*)\}")


def words_of(text: str) -> list[str]:
    """Lower-case words; digits and inner apostrophes belong to them."""
    return [word.lower() for word in WORD.findall(text)]


def normal(text: str) -> str:
    """Text without case and spacing, for comparisons."""
    return " ".join(text.lower().split())


def kind_mismatch(question: str, answer: str) -> str:
    """Why the answer can't be one to this question, judged by their kinds alone; "" when nothing speaks against it."""
    words = words_of(answer)
    if HOW_MANY.search(question):
        counts = any(char.isdigit() for char in answer) or NUMBER_WORDS & set(words)
        return "" if counts else "'how many' without a number"
    options = set(OPTION.findall(question))
    chosen = CHOSEN.fullmatch(answer.strip())
    if len(options) >= 2 and chosen:
        letter = chosen.group(1).upper()
        return "" if letter in options else f"option {letter} is not among {sorted(options)}"
    asked = last_sentence(question)
    if POLAR.match(asked) and not CHOICE.search(asked):
        fits = len(words) > SHORT_WORDS or (BOOLEANS | HEDGES) & set(words)
        return "" if fits else "yes/no question, the answer is neither"
    bare_boolean = len(words) == 1 and words[0] in BOOLEANS - {"true", "false"}
    if OPEN_WORD.match(asked) and bare_boolean and not COPYING.search(asked):
        return "open question answered by yes or no"
    return ""


def last_sentence(question: str) -> str:
    """The sentence that asks: the last with a question mark (instructions may follow it), or the last."""
    sentences = [part.strip() for part in re.findall(r"[^.?!\n]+[.?!]*", question.replace(IMAGE_PLACEHOLDER, " "))]
    asking = [part for part in sentences if part.endswith("?")]
    return (asking or [part for part in sentences if part] or [""])[-1]


def repeated_ngrams(text: str) -> float:
    """Share of word 3-grams that stood before; of character 10-grams where a long text has hardly any words."""
    tokens: Sequence[str] = words_of(text)
    size = NGRAM_WORDS
    if len(tokens) < NGRAM_WORDS and len(text) > 4 * NGRAM_CHARS:
        tokens, size = normal(text), NGRAM_CHARS
    grams = [tuple(tokens[at : at + size]) for at in range(len(tokens) - size + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def decimals(text: str) -> int:
    """The most decimals of any number in a text: `12.50 and 3` has 2."""
    return max((len(digits) for digits in DECIMAL.findall(text)), default=0)


def numbers_in(value: Any) -> Iterator[str]:
    """Every number in a JSON value as text, booleans apart."""
    if isinstance(value, dict):
        for part in value.values():
            yield from numbers_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from numbers_in(part)
    elif isinstance(value, str):
        yield from re.findall(r"\d[\d,]*(?:\.\d+)?", value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def supported_decimals(question: str, known: int | None) -> int | None:
    """Decimals that an answer may show; None: as many as it likes, because it copies what is printed."""
    if READING.search(question):
        return None
    base = DEFAULT_DECIMALS if known is None else known
    return base + DERIVED_DECIMALS if DERIVED.search(question) else base


def refers_beyond(question: str, images: int) -> str:
    """Why the question can't be about this sample's images; "" when it can."""
    if images == 0:
        talk = IMAGE_TALK.search(question)
        return f"asks about {talk.group(0)!r}, the sample has no image" if talk else ""
    nth = NTH_IMAGE.search(question)
    if nth is None:
        return ""
    number = ORDINALS[nth.group(1).lower()] if nth.group(1) else int(nth.group(2))
    return f"asks about {nth.group(0)!r}, the sample has {images} image(s)" if number > images else ""


def template_residue(answer: str) -> str:
    """An unfilled slot, an empty LaTeX command or an unbalanced LaTeX block; "" when the text is whole.

    Balanced decorations are no reason to drop a sample: the formatting step strips them. Code is looked past:
    `{name}` is what an f-string has to say.
    """
    answer = CODE.sub(" ", answer)
    slot = SLOTS.search(answer)
    if slot:
        return slot.group(0)
    opened: list[str] = []
    for match in LATEX_BLOCK.finditer(answer):
        if match.group(1) == "begin":
            opened.append(match.group(2))
        elif not opened or opened.pop() != match.group(2):
            return match.group(0)
    return rf"\begin{{{opened[-1]}}}" if opened else ""
