"""What the rule families share: words, the sentence that asks, and the signs by which a kind of question is known."""

import re

from data.schema import IMAGE_PLACEHOLDER

AUXILIARIES = "is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|must|may|might"
POLAR = re.compile(rf"(?:{AUXILIARIES})(?:n't)?\b", re.I)
OPTION = re.compile(r"(?<![^\s(])([A-H])[.):](?=\s*\S)")
CHOSEN = re.compile(r"(?:the )?(?:answer|option|choice)?(?: is)?[:\s]*\(?([A-H])\)?[.):]?", re.I)
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
# "no" is an answer to "What is the first word?": it stands in the image.
COPYING = re.compile(
    r"\b(?:words?|letters?|text|sign|label|line|title|caption|says?|written|spell(?:ed|s)?|button|name|called|printed)\b",
    re.I,
)
READING = re.compile(r"\b(?:read|transcribe|ocr|written|what does (?:it|this|the \w+) say)\b", re.I)
CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.S)


def words_of(text: str) -> list[str]:
    """Lower-case words; digits and inner apostrophes belong to them."""
    return [word.lower() for word in WORD.findall(text)]


def normal(text: str) -> str:
    """Text without case and spacing, for comparisons."""
    return " ".join(text.lower().split())


def first_match(pattern: re.Pattern[str], text: str) -> str:
    """What a pattern finds first, or ""."""
    match = pattern.search(text)
    return match.group(0) if match else ""


def last_sentence(question: str) -> str:
    """The sentence that asks: the last with a question mark (instructions may follow it), or the last."""
    sentences = [part.strip() for part in re.findall(r"[^.?!\n]+[.?!]*", question.replace(IMAGE_PLACEHOLDER, " "))]
    asking = [part for part in sentences if part.endswith("?")]
    return (asking or [part for part in sentences if part] or [""])[-1]
