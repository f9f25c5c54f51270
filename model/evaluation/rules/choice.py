"""The letter that an output chooses, read strictly: exactly one candidate, otherwise none.

This is the rule set eagle2 for multiple choice. In this order: the output is a letter or an option's text; it opens
with a letter or states one ("Answer: B", "\\boxed{B}"); one letter is named alone; one option's text is named.
The articles "A" and "I" aren't letters ("A cat sits"), nor is the C of "Cannot tell"; a denied letter ("A is not
valid", "not B") is no candidate. No guessing: what can't be read is wrong.
"""

import re
from collections.abc import Iterable, Mapping

from model.evaluation.scorers import normalised

_WORD_LETTERS = "AI"  # capital letters that are also English words
_NEAR = 40  # characters beside a letter that may deny it
_MARKUP = re.compile(r"\*+|`+|\\(?:text|mathrm|mathbf)\{(\w)\}")
_WHOLE = re.compile(r"[(\[]?([A-Za-z])[)\].:]*")
_OPENING = re.compile(r"(?:[(\[]([A-Za-z])[)\]]|([A-Z])(?=[).:,;\n]|\s*$)|([a-z])(?=[).:]))[).:,;]*(?=\s|$)")
_OPENING_WORD = re.compile(r"([A-Z])(?=\s)")
_IS = r"(?:\s*(?:\bis\b|\bwas\b|\bshould be\b|\bmust be\b|\bwould be\b|[:=]))+\s*"
_STATED = (
    re.compile(
        rf"(?i:answer|choice|option){_IS}(?i:(?:the|option|choice|letter)\s+)*(?:[(\[]([A-Za-z])[)\]]|([A-Z])\b)"
    ),
    re.compile(r"\\boxed\{\s*\(?([A-Za-z])\)?\s*[.}]"),
    re.compile(r"<answer>\s*\(?([A-Za-z])\)?[.:]?\s*</answer>", re.IGNORECASE),
)
_LONE = re.compile(r"(?<![\w.-])([A-Z])(?![\w+-]|\.\w|'\w)")
_DENIED_BEFORE = re.compile(
    r"(?:\bnot|n't|\bneither|\bnor|\bnever|\bthan|\bwithout|\bexcept)\s+(?:(?:be|option|choice|an?|the)\s+)*[(\[]?$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"[)\]]?\s+(?:(?:is|was|are|can|could|does|would|will|seems?)(?:\s+(?:not|never|wrong|incorrect|invalid|false)\b"
    r"|n't\b)|cannot\b)",
    re.IGNORECASE,
)
_LETTER_BEFORE = re.compile(r"(?:[(\[]|(?:option|choice|answer|letter|select|choose|pick|and|or|&)\s+)$", re.IGNORECASE)
_LETTER_AFTER = re.compile(
    r"[)\].:,;!?\"']|\s*$|\s*[&/]|\s+(?:and|or|is|because|since|seems|would|matches|appears)\b", re.IGNORECASE
)
_LIST_BEFORE = re.compile(r"^\s*(?:and|or|&|/|,)?\s*(?:and\s+|or\s+)?[(\[]?$", re.IGNORECASE)


def _letters(matches: Iterable[re.Match[str]], options: Mapping[str, str]) -> set[str]:
    """The option letters in the groups of matches."""
    return {letter.upper() for match in matches for letter in match.groups() if letter} & set(options)


def denied(text: str, start: int, end: int) -> bool:
    """Whether what stands at text[start:end] is negated there."""
    before, after = text[max(0, start - _NEAR) : start], text[end : end + _NEAR]
    return bool(_DENIED_BEFORE.search(before) or _DENIED_AFTER.match(after))


def _is_letter(text: str, match: re.Match[str]) -> bool:
    if denied(text, match.start(), match.end()):
        return False
    if match.group(1) not in _WORD_LETTERS:
        return True
    before = text[max(0, match.start() - _NEAR) : match.start()]
    return bool(_LETTER_BEFORE.search(before) or _LETTER_AFTER.match(text[match.end() :]))


def _lone(text: str, options: Mapping[str, str]) -> list[re.Match[str]]:
    """Mentions of option letters that stand alone and aren't denied."""
    return [match for match in _LONE.finditer(text) if match.group(1) in options and _is_letter(text, match)]


def _opening(text: str, options: Mapping[str, str]) -> set[str]:
    """The letter that a text opens with; all of a list of letters ("A, C")."""
    match = _OPENING.match(text) or _OPENING_WORD.match(text)
    letters = _letters([match] if match else [], options)
    if not match or not letters or denied(text, 0, match.end()):
        return set()
    if match.re is _OPENING_WORD and not _is_letter(text, match):
        return set()
    for other in _lone(text, options):
        if other.start() >= match.end() and _LIST_BEFORE.match(text[match.end() : other.start()]):
            letters.add(other.group(1))
    return letters


def _pattern(text: str) -> str:
    return rf"(?<!\w)(?<!\d[.,]){re.escape(normalised(text))}(?!\w|[.,]\d)"


def named_texts(text: str, options: Mapping[str, str]) -> set[str]:
    """Letters of the options whose text stands in `text` as whole words; a longer text covers a shorter one in it."""
    plain, letters = normalised(text), set()
    for letter, option in sorted(options.items(), key=lambda item: (-len(normalised(item[1])), item[0])):
        if not normalised(option):
            continue
        places = list(re.finditer(_pattern(option), plain))
        if any(not denied(plain, place.start(), place.end()) for place in places):
            letters.add(letter)
        plain = re.sub(_pattern(option), lambda place: "\0" * len(place.group()), plain)
    return letters


def _without_texts(text: str, options: Mapping[str, str]) -> str:
    """A text without the options' texts, whose words could be mistaken for letters ("vitamin C")."""
    for option in options.values():
        if len(normalised(option)) > 1:
            text = re.sub(rf"(?<!\w){re.escape(option.strip())}(?!\w)", " ", text, flags=re.IGNORECASE)
    return text


def _repeated(text: str, options: Mapping[str, str]) -> set[str]:
    """Letters that stand before their own text ("(A) cat"); several of them repeat the question's options."""
    return {
        letter
        for letter, option in options.items()
        if option.strip() and re.search(rf"(?<!\w){letter}[)\].:]+\s*{re.escape(option.strip())}(?!\w)", text)
    }


def _candidates(text: str, options: Mapping[str, str]) -> set[str]:
    whole = _WHOLE.fullmatch(text)
    if whole and whole.group(1).upper() in options:
        return {whole.group(1).upper()}
    same = {letter for letter, option in options.items() if normalised(option) == normalised(text)}
    if same:
        return same
    stated = _letters((match for pattern in _STATED for match in pattern.finditer(text)), options)
    repeated = _repeated(text, options)
    opening = (set() if stated else repeated) if len(repeated) > 1 else _opening(text, options)
    if stated | opening:
        return stated | opening
    lone = {match.group(1) for match in _lone(_without_texts(text, options), options)}
    return lone or named_texts(text, options)


def strict_choice(output: str, options: Mapping[str, str]) -> tuple[str, str]:
    """(letter, "") of the one option that an output chooses, ("", why) where it chooses none or several.

    `options` are letter -> text.

    >>> options = {"A": "cat", "B": "dog", "C": "cow"}
    >>> strict_choice("B, since A is not valid", options), strict_choice("Cannot tell", options)[0]
    (('B', ''), '')
    """
    text = _MARKUP.sub(lambda match: match.group(1) or "", output).strip()
    letters = _candidates(text, options)
    if len(letters) == 1:
        return letters.pop(), ""
    return "", f"names {', '.join(sorted(letters))}" if letters else "no choice could be read"
