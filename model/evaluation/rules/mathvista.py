"""MathVista (Lu et al. 2024): an answer is extracted, brought to the form of the question, and compared.

The official script and both tools let a GPT model extract the answer where the output isn't one already. Here a judge's
extraction is taken from the fact `extracted` if it stands there; otherwise `mathvista_extract` reads it by rule, and
the note says so.
eagle2: `evaluation/calculate_score.py` of lupantech/MathVista: integers by int(float(x)), so "14.0" is 14; floats
rounded to `precision`; lists number by number; a choice must be read strictly (the original: the most similar one).
vlmevalkit: `utils/mathvista.py`, `post_check`: int(x), so "14.0" is wrong; floats exactly; a list is never right, since
the function compares the text "None"; choices by `can_infer`.
lmms-eval: `tasks/mathvista/mathvista_evals.py`, `normalize_extracted_answer` and `safe_equal`: as the original, lists
and numbers compared as texts; a choice that isn't a letter becomes the option with the smallest edit distance.
"""

from collections.abc import Callable, Mapping

from data.errors import AerieError
from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.choice import strict_choice
from model.evaluation.rules.choice_tools import can_infer
from model.evaluation.rules.common import RuleSet, fact, hit, named, options_of, right_letters
from model.evaluation.rules.mathvista_reading import as_int, as_list, leading_letter, mathvista_extract, python_float
from model.evaluation.scorers import edit_distance, exact_match

ANSWER_TYPES = ("text", "integer", "float", "list")
_BY_RULE = "extracted by rule, no judge was asked"


def _precision(row: Answered) -> int:
    """Decimals of a float answer; one where the question doesn't say (MathVista's usual)."""
    return int(row.facts.get("precision") or 1)


def _same_float(row: Answered, found: float | None, target: float | None) -> bool:
    if found is None or target is None:
        return False
    return round(found, _precision(row)) == round(target, _precision(row))


def _official_equal(row: Answered, found: str, answer: str) -> bool:
    kind = row.facts["answer_type"]
    if kind == "integer":
        return as_int(found) is not None and as_int(found) == as_int(answer)
    if kind == "float":
        return _same_float(row, python_float(found), python_float(answer))
    if kind == "list":
        return as_list(found) is not None and as_list(found) == as_list(answer)
    return bool(exact_match(found, answer))


def _vlmevalkit_equal(row: Answered, found: str, answer: str) -> bool:
    kind = row.facts["answer_type"]
    try:
        if kind == "integer":
            return int(found) == int(answer)
        return kind == "float" and float(found) == float(answer)
    except ValueError:
        return False


def _lmms_equal(row: Answered, found: str, answer: str) -> bool:
    kind, text = row.facts["answer_type"], found.strip()
    if kind == "integer":
        text = str(as_int(found))  # "None" where it is no number, which no reference is
    if kind == "float":
        number = python_float(found)
        text = "" if number is None else str(round(number, _precision(row)))
    return text == answer.strip()


_EQUAL: Mapping[RuleSet, Callable[[Answered, str, str], bool]] = {
    "eagle2": _official_equal,
    "vlmevalkit": _vlmevalkit_equal,
    "lmms-eval": _lmms_equal,
}


def _needs_judge(row: Answered, output: str, rules: RuleSet) -> bool:
    """Whether a tool would send this free-form output to its judge; a bare answer needs none."""
    kind = row.facts["answer_type"]
    if kind in {"integer", "float"}:
        try:
            int(output) if kind == "integer" else float(output)
        except ValueError:
            return True
        return False
    return kind == "list" or rules == "lmms-eval"


def _free_form(row: Answered, rules: RuleSet) -> Verdict:
    output, extracted = row.output.strip(), row.facts.get("extracted")
    note = ""
    if extracted is not None and _needs_judge(row, output, rules):
        output, note = str(extracted), "extracted by a judge"
    elif _needs_judge(row, output, rules):
        output, note = mathvista_extract(output, row.facts["answer_type"], str(row.facts.get("unit") or "")), _BY_RULE
    right = any(_EQUAL[rules](row, output, answer) for answer in row.answers)
    return hit(right, output, note if output else "no answer could be read")


def most_similar(text: str, options: Mapping[str, str]) -> str:
    """The letter of the option text with the smallest edit distance; the first on a tie."""
    return min(options, key=lambda letter: edit_distance(text, options[letter]))


def _lmms_choice(text: str, options: Mapping[str, str]) -> str:
    letter = leading_letter(text.strip())
    return letter if letter in options else most_similar(text.strip(), options)


def _choice(row: Answered, rules: RuleSet) -> Verdict:
    options = options_of(row)
    targets = right_letters(row, options)
    output, extracted = row.output.strip(), row.facts.get("extracted")
    if rules == "vlmevalkit" and can_infer(output, options):
        letter = can_infer(output, options)
        return hit(letter in targets, letter)
    if rules == "lmms-eval" and output in options.values():
        letter = most_similar(output, options)
        return hit(letter in targets, letter)
    read, note = strict_choice(output if extracted is None else str(extracted), options)
    if rules == "eagle2":
        return hit(read in targets, read, note)
    text = read if extracted is None else str(extracted)
    letter = can_infer(text, options) if rules == "vlmevalkit" else _lmms_choice(text, options)
    return hit(letter in targets, letter, _BY_RULE if extracted is None else "extracted by a judge")


def mathvista_verdict(row: Answered, rules: RuleSet) -> Verdict:
    """Right when the extracted answer equals a reference.

    Facts: `question_type` ("multi_choice" or "free_form"), `answer_type` (one of `ANSWER_TYPES`), and perhaps
    `precision`, `unit`, `extracted`.
    """
    kind = fact(row, "question_type")
    if kind == "multi_choice":
        return _choice(row, rules)
    if kind != "free_form" or fact(row, "answer_type") not in ANSWER_TYPES:
        raise AerieError(
            f"{named(row)}: question_type must be 'multi_choice' or 'free_form' and answer_type one of "
            f"{', '.join(ANSWER_TYPES)}; found {kind!r} and {row.facts.get('answer_type')!r}"
        )
    return _free_form(row, rules)
