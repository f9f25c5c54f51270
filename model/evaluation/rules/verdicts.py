"""One output under one rule set: which rule judges it, and what every rule refuses."""

from collections.abc import Callable, Mapping
from typing import cast

from data.errors import AerieError
from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.anls import anls_verdict
from model.evaluation.rules.boxes import iou_verdict
from model.evaluation.rules.choice_tools import choice_verdict
from model.evaluation.rules.circular import circular_verdict
from model.evaluation.rules.common import RULE_SETS, RuleSet, named
from model.evaluation.rules.counting import count_verdict
from model.evaluation.rules.hallusion import hallusion_verdict
from model.evaluation.rules.judged import mmvet_verdict
from model.evaluation.rules.mathvista import mathvista_verdict
from model.evaluation.rules.mmmu import mmmu_verdict
from model.evaluation.rules.ocrbench import ocrbench_verdict
from model.evaluation.rules.relaxed import relaxed_verdict
from model.evaluation.rules.text import exact_verdict, f1_verdict
from model.evaluation.rules.vqa import vqa_verdict

_VERDICTS: Mapping[str, Callable[[Answered, RuleSet], Verdict]] = {
    "exact": exact_verdict,
    "relaxed": relaxed_verdict,
    "anls": anls_verdict,
    "token_f1": f1_verdict,
    "vqa": vqa_verdict,
    "ocrbench": ocrbench_verdict,
    "choice": choice_verdict,
    "mmmu": mmmu_verdict,
    "circular": circular_verdict,
    "hallusion": hallusion_verdict,
    "mathvista": mathvista_verdict,
    "iou": iou_verdict,
    "count": count_verdict,
    "mmvet": mmvet_verdict,
}
RULES: tuple[str, ...] = tuple(_VERDICTS)
JUDGED_RULES = frozenset({"mmvet"})  # these need no reference: a judge has it


def known_rule_set(rules: str) -> RuleSet:
    """A rule set by name; AerieError names the choices."""
    if rules not in RULE_SETS:
        raise AerieError(f"unknown rule set {rules!r}; choose one of {', '.join(RULE_SETS)}")
    return cast(RuleSet, rules)


def verdict(row: Answered, rules: str) -> Verdict:
    """What the question's rule says of its output under a rule set.

    An empty output is wrong under every rule and rule set. AerieError for an unknown rule or rule set, a question
    without a reference, and facts or options that the rule lacks.
    """
    rule_set = known_rule_set(rules)
    if row.rule not in _VERDICTS:
        raise AerieError(f"{named(row)}: unknown rule {row.rule!r}; choose one of {', '.join(RULES)}")
    if row.rule not in JUDGED_RULES and not any(answer.strip() for answer in row.answers):
        raise AerieError(f"{named(row)}: it has no reference answer, so rule {row.rule!r} can't score it")
    if not row.output.strip():
        return Verdict(value=0.0, note="empty output")
    return _VERDICTS[row.rule](row, rule_set)
