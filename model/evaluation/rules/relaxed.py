"""Relaxed accuracy of ChartQA: numbers within 5 % of the reference (Masry et al. 2022, section 5.1).

eagle2: `scorers.relaxed_accuracy`: reads "1,200", "12 %" (as 0.12) and a final period; 0 matches any form of 0.
vlmevalkit: `vqa_eval.relaxed_correctness` (pix2struct's): the stripped output must be a Python float, perhaps with
"%"; no thousands; a reference of 0 and everything that isn't a number is compared as lower-case text.
lmms-eval: `tasks/chartqa/utils.py`, `relaxed_correctness` (Qwen-VL's): the same, but the output isn't stripped.
"""

from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.common import RuleSet, hit
from model.evaluation.scorers import RELAXED_TOLERANCE, relaxed_accuracy


def python_number(text: str) -> float | None:
    """What the tools take for a number: anything that float() reads, "%" at the very end divides by 100.

    >>> python_number("12%"), python_number("1,200")
    (0.12, None)
    """
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def _tool_relaxed(output: str, answer: str) -> bool:
    found, target = python_number(output), python_number(answer)
    if found is not None and target:
        return abs(found - target) / abs(target) <= RELAXED_TOLERANCE
    return output.lower() == answer.lower()


def relaxed(output: str, answer: str, rules: RuleSet) -> bool:
    """Whether an output is near enough to one reference."""
    if rules == "eagle2":
        return bool(relaxed_accuracy(output, answer))
    return _tool_relaxed(output.strip() if rules == "vlmevalkit" else output, answer)


def relaxed_verdict(row: Answered, rules: RuleSet) -> Verdict:
    """Right when the output is near enough to any reference."""
    return hit(any(relaxed(row.output, answer, rules) for answer in row.answers), row.output.strip())
