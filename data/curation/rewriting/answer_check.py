"""Whether a rewritten answer may take its place in the data set: sound text that agrees with the known answer."""

import re
from dataclasses import dataclass

from data.curation.decorations import strip_decorations
from data.curation.endpoint.chat import Answer
from data.curation.rewriting.prompts import Kind
from data.curation.rewriting.same_answer import close, numbers_of, same_answer, words
from data.curation.rules_leaks import CONTROL, REFUSAL, template_residue
from data.curation.rules_repetition import repeated_ngrams
from data.schema import IMAGE_PLACEHOLDER
from data.settings.augmentation import CotSettings, RewriteSettings

FINAL = re.compile(
    r"(?:(?:so|thus|therefore|hence),?\s+)?(?:the\s+)?(?:final\s+|correct\s+)?answer(?:\s+is\b|\s*[:：])[\s::]*(\S.*)",
    re.I,
)
BARE_LABEL = re.compile(r"(?:the\s+)?(?:final\s+)?answer\s*[:：]?", re.I)
MARKUP = re.compile(r"^[\s>#]+|\*\*|__|`")
# A model that was told the answer must not say so: the trained one will not be told.
TOLD = re.compile(
    r"\b(?:(?:known|given|provided|reference|expected) answer\b(?! (?:choice|option))"
    r"|correct answer (?:was|that|of|as|given|provided|says?|is (?:given|provided|stated|known))\b(?! (?:by|in)\b)"
    r"|(?:answer|solution) (?:that )?(?:was|is|has been|you|i was) (?:already )?(?:given|gave|provided|supplied|told)\b"
    r"(?! (?:by|in)\b)|as instructed|you (?:have )?(?:told me|provided|given|gave me))\b",
    re.I,
)
NEGATION = frozenset(
    {"not", "no", "never", "isn't", "aren't", "wasn't", "weren't", "cannot", "can't", "neither", "nor"}
)
NEGATION_REACH = SPARE_WORDS = 3
ENDINGS = {"length": "cut_off", "too_large": "too_long", "refusal": "refusal", "content_filter": "refusal"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The text as it goes into the data set, or the reason why it doesn't."""

    text: str = ""
    reason: str = ""


def check(kind: Kind, answer: Answer, known: str, family: str, settings: RewriteSettings) -> Verdict:
    """Judge an endpoint's answer to a question whose answer is known."""
    reason = unsound(answer, settings)
    if reason:
        return Verdict(reason=reason)
    if kind == "cot":
        tolerance = settings.number_tolerance if isinstance(settings, CotSettings) else 0.0
        return _check_cot(answer.text, known, family, settings.min_words, tolerance)
    return _check_long(answer.text, known, family, settings.min_words)


def unsound(answer: Answer, settings: RewriteSettings) -> str:
    """What is wrong with a text whatever the question: the rules that the filters apply to any answer."""
    text = answer.text
    if answer.finish_reason in ENDINGS:
        return ENDINGS[answer.finish_reason]
    if not text:
        return "empty"
    if len(text) > settings.max_chars:
        return "too_long"
    if "\N{REPLACEMENT CHARACTER}" in text or "\0" in text:
        return "broken_text"
    if REFUSAL.search(text):
        return "refusal"
    if IMAGE_PLACEHOLDER in text or CONTROL.search(text):
        return "placeholder"
    if template_residue(text):
        return "template_residue"
    if repeated_ngrams(text) > settings.max_repeated_ngram_ratio:
        return "repetition"
    return "mentions_given_answer" if TOLD.search(text) else ""


def _check_cot(text: str, known: str, family: str, min_words: int, tolerance: float) -> Verdict:
    """Reasoning, then a last line with the known answer; that line is written anew, so that all look alike."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    said = _said(lines[-1])
    if said is None and len(lines) > 1 and BARE_LABEL.fullmatch(_plain(lines[-2])):
        said, lines = _plain(lines[-1]), lines[:-1]
    if said is None:
        return Verdict(reason="no_final_answer")
    # An earlier line may say another answer; one with many words more ("The answer is given by the sum") says none.
    longest = len(words(known)) + SPARE_WORDS
    earlier = [other for line in lines[:-1] if (other := _said(line)) is not None and len(words(other)) <= longest]
    if not all(same_answer(family, known, one, tolerance) for one in (*earlier, said)):
        return Verdict(reason="wrong_answer")
    if len(words(" ".join(lines[:-1]))) < min_words:
        return Verdict(reason="too_short")
    return Verdict(text="\n".join([*lines[:-1], f"Answer: {known}"]))


def _said(line: str) -> str | None:
    """What a line gives as the final answer; None when it is any other line."""
    match = FINAL.fullmatch(_plain(line))
    return match.group(1) if match else None


def _plain(line: str) -> str:
    return MARKUP.sub("", line).strip()


def _check_long(text: str, known: str, family: str, min_words: int) -> Verdict:
    """Sentences that state the known answer."""
    said = words(text)
    if len(said) < min_words:
        return Verdict(reason="too_short")
    if family == "yes_no":
        booleans = [word for word in said[:1] if word in {"yes", "no"}]
        reason = "" if booleans == words(known) else "wrong_answer" if booleans else "answer_missing"
    elif family in {"number", "quantity"}:
        reason = "" if _states_number(text, known) else "answer_missing"
    else:
        reason = _states(said, words(strip_decorations(known)[0]))
    return Verdict(reason=reason) if reason else Verdict(text=text)


def _states_number(text: str, known: str) -> bool:
    wanted = numbers_of(known)
    return bool(wanted) and any(close(wanted[0], number) for number in numbers_of(text))


def _states(said: list[str], wanted: list[str]) -> str:
    """Whether the words stand in the text somewhere without a negation before them."""
    size = len(wanted)
    places = [at for at in range(len(said) - size + 1) if said[at : at + size] == wanted]
    if not places or not wanted:
        return "answer_missing"
    denied = [bool(NEGATION & set(said[max(0, at - NEGATION_REACH) : at])) for at in places]
    return "wrong_answer" if all(denied) else ""
