"""MMMU (Yue et al. 2024): multiple choice and open questions; the fact `question_type` says which.

eagle2: `eval/eval_utils.py` of MMMU-Benchmark/MMMU, but an answer that can't be read is wrong where the original draws
a letter at random.
lmms-eval: `tasks/mmmu/utils.py`: as the original, but "X " also counts inside a word ("USA is" names A) and "X." is
tried too; the random letter is decided by the question's id here.
vlmevalkit: `multiple_choice.MMMU_preproc` and `can_infer`: open questions become a choice between the reference (A)
and "Other Answers" (B), so the letter A is right and the reference may stand anywhere in a short output.
"""

import re
from collections.abc import Mapping, Sequence

from data.errors import AerieError
from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.choice_tools import can_infer
from model.evaluation.rules.common import RuleSet, drawn, fact, hit, named, options_of, right_letters

_STRIPPED = (",", ".", "!", "?", ";", ":", "'")
_CONTENT_WORDS = 5
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)
_KEYS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_TRIVIAL = frozenset(":,.!?;'")


def _last(candidates: Mapping[str, int]) -> str:
    """The candidate that stands last; the first of them on a tie."""
    return max(candidates, key=lambda letter: candidates[letter]) if candidates else ""


def official_letter(output: str, options: Mapping[str, str], rules: RuleSet) -> str:
    """The letter that the official parser reads (`parse_multi_choice_response`), "" where it would guess."""
    text = output
    for mark in _STRIPPED:
        text = text.strip(mark)
    text = f" {text} "
    forms = ["({})", " {} "] if rules == "eagle2" else ["({})", "{} ", "{}."]
    for form in forms:
        letters = [letter for letter in options if form.format(letter) in text]
        if letters:
            place = "({})" if form == "({})" else " {} "
            return _last({letter: text.rfind(place.format(letter)) for letter in letters})
    if len(text.split()) <= _CONTENT_WORDS:
        return ""
    low = text.lower()
    return _last({letter: low.rfind(option.lower()) for letter, option in options.items() if option.lower() in low})


def _normalised(text: str) -> list[str | float]:
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
    return [f" {text}", f"{text} "] if len(text) == 1 else [text]


def _key_parts(output: str) -> list[str]:
    text, keys, parts = output.strip().strip(".").lower(), list(_KEYS), []
    lines = text.split("\n")  # the original also splits at ". " before a capital, but the text is lower-case by then
    for number, line in enumerate(lines):
        if number == len(lines) - 1:
            keys.append("=")
        tails = [line.split(key)[-1].strip() for key in keys if key in line]
        shortest = ""
        for tail in tails:  # an empty tail never wins over a longer one that comes later, as in the original
            shortest = tail if not shortest or len(tail) < len(shortest) else shortest
        if shortest and shortest not in _TRIVIAL:
            parts.append(shortest)
    return parts or [text]


def open_answers(output: str) -> list[str | float]:
    """Texts and numbers (2 decimals) that may be the answer of an open question (`parse_open_response`)."""
    parts = _key_parts(output)
    numbers = [number for part in parts for pattern in _NUMBERS for number in pattern.findall(part)]
    found = [value for text in (*parts, *numbers) for value in _normalised(text)]
    return list(dict.fromkeys(found))


def open_is_right(output: str, answers: Sequence[str]) -> bool:
    """Whether a text of the output holds a reference text, or one of its numbers is a reference (`eval_open`)."""
    targets = [value for answer in answers for value in _normalised(answer)]
    texts = [target for target in targets if isinstance(target, str)]
    found = open_answers(output)
    return any(any(t in value for t in texts) if isinstance(value, str) else value in targets for value in found)


def _open_verdict(row: Answered, rules: RuleSet) -> Verdict:
    if rules != "vlmevalkit":
        found = "; ".join(str(value).strip() for value in open_answers(row.output))
        return hit(open_is_right(row.output, row.answers), found)
    reference = row.answers[0] if len(row.answers) == 1 else str(list(row.answers))
    target = reference if re.fullmatch("[A-Z]", reference) else "A"
    letter = can_infer(row.output.strip(), {"A": reference, "B": "Other Answers"})
    return hit(letter == target, letter, "" if letter else "no choice could be read")


def mmmu_verdict(row: Answered, rules: RuleSet) -> Verdict:
    """Right when the letter, or the open answer, is the reference's."""
    kind = fact(row, "question_type")
    if kind == "open":
        return _open_verdict(row, rules)
    if kind != "multiple-choice":
        raise AerieError(f"{named(row)}: question_type must be 'multiple-choice' or 'open', not {kind!r}")
    options = options_of(row)
    targets = right_letters(row, options)
    letter = (
        can_infer(row.output.strip(), options) if rules == "vlmevalkit" else official_letter(row.output, options, rules)
    )
    if not letter and rules == "lmms-eval":
        letter = drawn(row, sorted(options))
        return hit(letter in targets, letter, "guessed by the question's id")
    return hit(letter in targets, letter, "" if letter else "no choice could be read")
