"""Average normalised Levenshtein similarity of DocVQA and InfoVQA, threshold 0.5 (Biten et al. 2019).

eagle2: `scorers.anls`, the paper's formula (a distance of exactly 0.5 is wrong); a final period doesn't count.
vlmevalkit: `vqa_eval.anls_compute` and `hit_calculate`: a similarity of exactly 0.5 counts, periods count.
lmms-eval: `api/metrics.py`, `anls`: as VLMEvalKit, but divides by the lengths *before* blanks were collapsed.
"""

from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.common import RuleSet
from model.evaluation.scorers import ANLS_THRESHOLD, anls, edit_distance


def _collapsed(text: str) -> str:
    return " ".join(text.lower().split())


def _tool_similarity(output: str, answer: str, raw_length: bool) -> float:
    found, target = _collapsed(output), _collapsed(answer)
    longest = max(len(output.upper()), len(answer.upper())) if raw_length else max(len(found), len(target))
    similarity = 1 - edit_distance(found, target) / longest if longest else 1.0
    return similarity if similarity >= ANLS_THRESHOLD else 0.0


def similarity(output: str, answer: str, rules: RuleSet) -> float:
    """ANLS of one output against one reference, in [0, 1]."""
    if rules == "eagle2":
        return anls(output, answer)
    return _tool_similarity(output, answer, raw_length=rules == "lmms-eval")


def anls_verdict(row: Answered, rules: RuleSet) -> Verdict:
    """The best similarity over the references."""
    return Verdict(value=max(similarity(row.output, answer, rules) for answer in row.answers), found=row.output.strip())
