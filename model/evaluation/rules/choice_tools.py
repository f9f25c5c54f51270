"""How the public tools read the letter of a multiple choice, and the rule `choice` under every rule set.

vlmevalkit: `vlmeval/utils/matching_util.py`, `can_infer`, judged without a model ("exact_matching" in
`utils/multiple_choice.py`): what it can't infer is wrong. A lone "A" counts as a letter; the letter must be among the
last five words; else one option's text must stand in the output, which may be twice as long as all texts together.
Both limits are in its later versions (in 134b4ea61d26 the test of the five words is the wrong way round, which copies
of the file have put right); up to 18fc37a5337e a letter or a text anywhere counted.
lmms-eval, MMStar: `tasks/mmstar/utils.py`, `exact_match`: the first letter, bare, in "(", after "option " or after
"the answer is ". RealWorldQA: `tasks/realworldqa/utils.py`: an option's text anywhere gives its letter, otherwise the
whole output must be the letter. Others (AI2D): a leading "B." gives B, then exact match without case and punctuation.
"""

import re
import string
from collections.abc import Mapping

from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.choice import strict_choice
from model.evaluation.rules.common import RuleSet, hit, options_of, right_letters
from model.evaluation.rules.counting import NUMBER_WORDS
from model.evaluation.rules.text import without_case_and_punctuation

REFUSED = "Z"  # VLMEvalKit's letter for a refusal
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_CAN_INFER_MARKS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_LAST_WORDS = 5
_LEADING_LETTER = re.compile(r"\s*([A-Z])\.")
_TO_TEN = {word: str(number) for word, number in NUMBER_WORDS.items() if number <= 10 and word != "none"}
_MMSTAR_OPENINGS = ("", "(", "option ", "the answer is ")


def _infer_option(answer: str, options: Mapping[str, str]) -> str:
    if any(refusal in answer for refusal in _REFUSALS):
        return REFUSED
    words = answer.translate(_CAN_INFER_MARKS).split()
    letters = [letter for letter in options if letter in words]
    if len(letters) == 1 and words.index(letters[0]) > len(words) - _LAST_WORDS:
        return letters[0]
    return REFUSED if not letters and REFUSED in words else ""


def can_infer(answer: str, options: Mapping[str, str]) -> str:
    """The letter that VLMEvalKit infers without a judge, "Z" for a refusal, "" for nothing.

    >>> can_infer("A dog sits", {"A": "cat", "B": "dog"}), can_infer("B, since A is not valid", {"A": "x", "B": "y"})
    ('A', '')
    """
    letter = _infer_option(answer, options)
    if letter or len(answer) > 2 * sum(len(text) for text in options.values()):
        return letter
    letters = [letter for letter, text in options.items() if text.lower() in answer.lower()]
    return letters[0] if len(letters) == 1 else ""


def mmstar_letter(output: str, options: Mapping[str, str]) -> str:
    """The letter that lmms-eval's MMStar task compares with the reference."""
    text = output.lower().strip().replace("\n", " ")
    for opening in _MMSTAR_OPENINGS:
        letter = text[len(opening) : len(opening) + 1].upper()
        if text.startswith(opening) and letter in options:
            return letter
    return ""


def realworldqa_letter(output: str, options: Mapping[str, str]) -> str:
    """The letter that lmms-eval's RealWorldQA task compares with the reference."""
    plain = re.sub(r"[^\w\s]", "", _TO_TEN.get(output.lower(), output)).strip()
    letters = {option.strip(): letter for letter, option in options.items()}
    place = re.search("|".join(map(re.escape, letters)), plain)
    if place and place.group() in letters:
        return letters[place.group()]
    return _only_letter(plain.lower().strip().rstrip("."), options)


def _only_letter(text: str, options: Mapping[str, str]) -> str:
    letter = text.upper()
    return letter if len(letter) == 1 and letter in string.ascii_uppercase and letter in options else ""


def lmms_letter(output: str, benchmark: str, options: Mapping[str, str]) -> str:
    """The letter that lmms-eval's task of a benchmark compares with the reference, "" for none."""
    name = re.sub(r"[\W_]", "", benchmark.lower())
    if "mmstar" in name:
        return mmstar_letter(output, options)
    if "realworldqa" in name:
        return realworldqa_letter(output, options)
    leading = _LEADING_LETTER.match(output)
    return _only_letter(without_case_and_punctuation(leading.group(1) if leading else output), options)


def choice_verdict(row: Answered, rules: RuleSet) -> Verdict:
    """Right when the letter that is read is the reference's."""
    options = options_of(row)
    targets = right_letters(row, options)
    note = ""
    if rules == "eagle2":
        letter, note = strict_choice(row.output, options)
    elif rules == "vlmevalkit":
        letter = can_infer(row.output.strip(), options)
    else:
        letter = lmms_letter(row.output, row.benchmark, options)
    return hit(letter in targets, letter, note or ("" if letter else "no choice could be read"))
