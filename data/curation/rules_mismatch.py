"""Mismatched question and answer, told by their kinds alone (paper: Figure 5)."""

import re

from data.curation.rules import CHOSEN, COPYING, OPTION, POLAR, last_sentence, normal, words_of
from data.curation.talk import Talk, asked, images_so_far

DIALOGUE = "dialogue"  # free conversation: a yes/no question may get any answer
FULL_WORDS = 4  # a shorter question may ask for more of the same
SHORT_WORDS, SHORT_CHARS = 4, 100  # a longer answer is free text, whose kind can't be told by a rule
BOOLEANS = frozenset({"yes", "no", "true", "false"})
HEDGES = frozenset({"not", "nope", "yeah", "yep", "maybe", "perhaps", "possibly", "unknown", "unclear", "sometimes"})
OPEN_WORD = re.compile(r"(?:what|which|who|whom|whose|where|when|why|how)\b", re.I)
CHOICE = re.compile(r"\bor\b|,", re.I)
HOW_MANY = re.compile(r"\b(?:how many|what number of)\b", re.I)
LETTER_AND_TEXT = re.compile(r"\(?([A-H])[.):]\s*([^\n]+)")
OPTION_LINE = re.compile(r"(?:^|[\s(])\(?([A-H])[.):]\s*([^\n]+?)(?=\s+\(?[A-H][.):]\s|\n|$)")
_COUNTS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million
    billion dozen hundreds thousands millions billions dozens no none neither both several many few couple pair
    single all
"""
NUMBER_WORDS = frozenset(_COUNTS.split())


def kind_mismatch(question: str, answer: str) -> str:
    """Why the answer can't be one to this question, judged by their kinds alone; "" when nothing speaks against it."""
    words = words_of(answer)
    if len(set(OPTION.findall(question))) >= 2 and CHOSEN.fullmatch(answer.strip()):
        return ""  # see `absent_option`
    if HOW_MANY.search(question):
        counts = any(char.isdigit() for char in answer) or NUMBER_WORDS & set(words)
        return "" if counts else "'how many' without a number"
    sentence = last_sentence(question)
    if POLAR.match(sentence) and not CHOICE.search(sentence):
        fits = len(words) > SHORT_WORDS or len(answer) > SHORT_CHARS or (BOOLEANS | HEDGES) & set(words)
        return "" if fits else "yes/no question, the answer is neither"
    bare_boolean = len(words) == 1 and words[0] in BOOLEANS - {"true", "false"}
    if OPEN_WORD.match(sentence) and bare_boolean and not COPYING.search(sentence):
        return "open question answered by yes or no"
    return ""


def absent_option(question: str, answer: str) -> str:
    """Why the chosen letter can't be right: the question has options, and it is none of them."""
    options = set(OPTION.findall(question))
    chosen = CHOSEN.fullmatch(answer.strip())
    if len(options) < 2 or not chosen:
        return ""
    letter = chosen.group(1).upper()
    return "" if letter in options else f"option {letter} is not among {sorted(options)}"


def other_option(question: str, answer: str) -> str:
    """Why an answer like `B. red` can't be right: B is none of the options, or `red` is the text of another one."""
    said = LETTER_AND_TEXT.fullmatch(answer.strip())
    if answer.strip() in question:
        return ""  # copied from there
    options = {letter: normal(text).rstrip(".;,") for letter, text in OPTION_LINE.findall(question)}
    if len(options) < 2 or not said:
        return ""
    letter, text = said.group(1), normal(said.group(2)).rstrip(".;,")
    if letter not in options:
        return f"option {letter} is not among {sorted(options)}"
    others = [other for other, listed in options.items() if listed == text and other != letter]
    return f"{text!r} is option {others[0]}, not {letter}" if others and options[letter] != text else ""


def mismatches(talk: Talk) -> list[str]:
    """Turns of the wrong kind and contradictions; turns of a free dialogue are left alone."""
    told: dict[tuple[int, str], str] = {}
    found = []
    pairs = talk.pairs()
    for (question, answer), task, images in zip(pairs, talk.tasks(), images_so_far(pairs), strict=True):
        if task == DIALOGUE:
            continue
        earlier = told.setdefault((images, asked(question)), normal(answer))
        reason = kind_mismatch(question, answer) or absent_option(question, answer) or other_option(question, answer)
        if not reason and earlier != normal(answer) and _has_one_answer(question):
            reason = f"the same question was answered {earlier!r} before"
        if reason:
            found.append(f"{reason}: {question.strip()!r} -> {answer.strip()!r}")
    return found


def _has_one_answer(question: str) -> bool:
    """False for what may be said again for more: "Go on.", "What else?"."""
    return question.rstrip().endswith("?") and len(words_of(asked(question))) >= FULL_WORDS
