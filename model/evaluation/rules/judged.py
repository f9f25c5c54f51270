"""MM-Vet (Yu et al. 2023): free answers that only a judge can score.

Every rule set asks a judge; its score, 0..1, is read from the fact `judge_score`. Without it the question is unjudged.
"""

from data.errors import AerieError
from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.common import RuleSet, named


def mmvet_verdict(row: Answered, rules: RuleSet) -> Verdict:
    """The judge's score, or an unjudged verdict (value None)."""
    score = row.facts.get("judge_score")
    if score is None:
        return Verdict(value=None, found=row.output.strip(), note="no judge was asked")
    if not isinstance(score, int | float) or not 0 <= score <= 1:
        raise AerieError(f"{named(row)}: judge_score must be a number from 0 to 1, not {score!r}")
    return Verdict(value=float(score), found=row.output.strip(), note="judged")
