"""Exact match and token F1.

eagle2: `scorers.exact_match` (case, blanks and a final period don't count), as in the local scores.
vlmevalkit: method `accuracy` of `vqa_eval.process_line` (OCRVQA, GQA): equal after strip and lower case.
lmms-eval: metric `exact_match` (`api/metrics.py`) with ignore_case and ignore_punctuation (GQA, AI2D): blanks count.
Token F1 (SQuAD, Rajpurkar et al. 2016) is in none of the tools: one behaviour.
"""

import string

from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.common import RuleSet, hit
from model.evaluation.scorers import exact_match, token_f1

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def without_case_and_punctuation(text: str) -> str:
    """What lmms-eval's exact match compares; blanks stay as they are.

    >>> without_case_and_punctuation("Yes, it's B.")
    'yes its b'
    """
    return text.lower().translate(_PUNCTUATION)


def _equal(output: str, answer: str, rules: RuleSet) -> bool:
    if rules == "vlmevalkit":
        return output.strip().lower() == answer.strip().lower()
    if rules == "lmms-eval":
        return without_case_and_punctuation(output) == without_case_and_punctuation(answer)
    return bool(exact_match(output, answer))


def exact_verdict(row: Answered, rules: RuleSet) -> Verdict:
    """Right when the output equals any reference."""
    return hit(any(_equal(row.output, answer, rules) for answer in row.answers), row.output.strip())


def f1_verdict(row: Answered, rules: RuleSet) -> Verdict:
    """The best F1 over the references; the same under every rule set."""
    return Verdict(value=max(token_f1(row.output, answer) for answer in row.answers), found=row.output.strip())
