"""The numbers of one benchmark from its verdicts, and how far the rule sets are apart."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from data.errors import AerieError
from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.circular import circular_scores
from model.evaluation.rules.common import RULE_SETS, RuleSet
from model.evaluation.rules.hallusion import hallusion_scores
from model.evaluation.rules.ocrbench import RECOGNITION
from model.evaluation.rules.verdicts import known_rule_set, verdict

_OCRBENCH_TOP = 1000
_OWN_SUMMARY = frozenset({"ocrbench", "circular", "hallusion"})


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return math.fsum(values) / len(values)  # fsum: the order of rows can't change the last digit


def _ocrbench_scores(rows: Sequence[Answered], verdicts: Sequence[Verdict]) -> dict[str, float]:
    """`score` is 0..1000, the official sum when all 1000 questions were asked; `right` and `right/...` are sums."""
    right: defaultdict[str, float] = defaultdict(float)
    for row, found in zip(rows, verdicts, strict=True):
        kind = str(row.facts.get("type", ""))
        right["Text Recognition" if kind in RECOGNITION else kind] += found.value or 0.0
    share = sum(right.values()) / len(rows)
    sums = {f"right/{kind}": count for kind, count in sorted(right.items())}
    return {"score": share * _OCRBENCH_TOP, "score_100": share * 100, "right": sum(right.values()), **sums}


def _macro(rows: Sequence[Answered], verdicts: Sequence[Verdict]) -> float:
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for row, found in zip(rows, verdicts, strict=True):
        groups[str(row.facts["l2_category"])].append(found.value or 0.0)
    return _mean(_mean(values) for values in groups.values())


def _mean_scores(rows: Sequence[Answered], verdicts: Sequence[Verdict], rules: RuleSet) -> dict[str, float]:
    """The mean over judged questions; lmms-eval's MMStar averages over its finer categories."""
    judged = [found.value for found in verdicts if found.value is not None]
    if not judged:
        return {}
    by_category = rules == "lmms-eval" and "mmstar" in rows[0].benchmark.lower()
    if by_category and all(row.facts.get("l2_category") for row in rows):
        return {"score": 100 * _macro(rows, verdicts)}
    return {"score": 100 * _mean(judged)}


def check_rows(rows: Sequence[Answered], verdicts: Sequence[Verdict]) -> None:
    """`AerieError` unless these are one benchmark's questions, each once and with its verdict."""
    if not rows or len(rows) != len(verdicts):
        raise AerieError(f"{len(rows)} answered questions and {len(verdicts)} verdicts; each question needs its own")
    benchmarks = {row.benchmark for row in rows}
    if len(benchmarks) > 1:
        raise AerieError(f"one benchmark at a time, not {', '.join(sorted(benchmarks))}")
    twice = sorted(name for name, count in Counter(row.question_id for row in rows).items() if count > 1)
    if twice:
        raise AerieError(f"{rows[0].benchmark!r} has {len(twice)} questions more than once, first {twice[0]!r}")
    rules = {row.rule for row in rows}
    if len(rules) > 1 and rules & _OWN_SUMMARY:
        raise AerieError(f"{rows[0].benchmark!r} mixes the rules {', '.join(sorted(rules))}, which have no common mean")


def summarise(rows: Sequence[Answered], verdicts: Sequence[Verdict], rules: str = "eagle2") -> dict[str, float]:
    """The numbers of one benchmark; `score` is the headline.

    `score` is 0..100 (OCRBench: 0..1000, with `score_100`). Always: `questions`, `unjudged` (no judge was asked) and
    `unread` (judged, but no answer was found in the output). HallusionBench adds `aAcc`, `fAcc`, `qAcc`; CircularEval
    `vanilla` and `groups`; OCRBench the sums `right` and `right/TYPE`. `score` is the mean over judged questions and
    is missing when none was judged. `rules` must be the set that gave the verdicts, since the tools group differently.
    """
    rule_set = known_rule_set(rules)
    check_rows(rows, verdicts)
    if rows[0].rule == "ocrbench":
        scores = _ocrbench_scores(rows, verdicts)
    elif rows[0].rule == "circular":
        scores = circular_scores(rows, verdicts)
    elif rows[0].rule == "hallusion":
        scores = hallusion_scores(rows, verdicts, rule_set)
    else:
        scores = _mean_scores(rows, verdicts, rule_set)
    unjudged = sum(found.value is None for found in verdicts)
    unread = sum(found.value is not None and not found.found for found in verdicts)
    return {**scores, "questions": len(rows), "unjudged": unjudged, "unread": unread}


def rule_gap(rows: Sequence[Answered]) -> dict[str, dict[str, float]]:
    """The same stored outputs of one benchmark under every rule set: rule set -> `summarise`."""
    return {rules: summarise(rows, [verdict(row, rules) for row in rows], rules) for rules in RULE_SETS}
