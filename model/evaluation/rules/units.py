"""What a benchmark's score is a mean of: questions, groups of rotated copies, figures.

Only for the rule set eagle2: lmms-eval's MMStar is a mean of means, which has no such parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.circular import circular_groups
from model.evaluation.rules.common import RuleSet, all_right
from model.evaluation.rules.hallusion import hallusion_groups
from model.evaluation.rules.summary import check_rows

UNIT_RULES: RuleSet = "eagle2"
WHOLE = ""
HALLUSION_PARTS = ("aAcc", "fAcc", "qAcc")


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows of a benchmark that are worth one value in [0, 1] together, None where only a judge could say.

    `places` are those of its rows; `name` is the same whatever a checkpoint answers.
    """

    name: str
    places: tuple[int, ...]
    value: float | None


def units(rows: Sequence[Answered], verdicts: Sequence[Verdict]) -> dict[str, list[Unit]]:
    """The units of each part of a benchmark, of which the mean over judged ones is the part's score (of 1).

    Most benchmarks are one part, `WHOLE`, whose mean is `score` of `summarise`; HallusionBench's `score` is the mean
    of `HALLUSION_PARTS`. `verdicts` are those of `UNIT_RULES`. `AerieError` as in `summarise`.
    """
    check_rows(rows, verdicts)
    if rows[0].rule == "circular":
        return {WHOLE: _grouped(circular_groups(rows), verdicts)}
    if rows[0].rule == "hallusion":
        return {name: _grouped(groups, verdicts) for name, groups in hallusion_groups(rows, UNIT_RULES).items()}
    pairs = zip(rows, verdicts, strict=True)
    return {WHOLE: [Unit(row.question_id, (place,), found.value) for place, (row, found) in enumerate(pairs)]}


def _grouped(groups: Mapping[str, Sequence[int]], verdicts: Sequence[Verdict]) -> list[Unit]:
    return [Unit(name, tuple(places), float(all_right(places, verdicts))) for name, places in groups.items()]
