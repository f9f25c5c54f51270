"""How many rows each source gives to stage 2.

Eagle 2 (arXiv 2501.14818), section 2.2, data selection: automatically labelled sources are large, less diverse and
less correct, hand-made ones small; so the larger a source, the smaller the share of it, about 20K rows a source in
the mean. The paper gives the principle and no formula. The law here is the simplest that obeys it:

    quota(n) = n                        for n <= target
    quota(n) = target * (n / target)^p  above

With 0 <= p <= 1 the quota grows with n, the share n^(p - 1) falls, and no source gives more than it has. Automatically
labelled sources have a smaller p. With target 20,000 and p = 0.5 a source of 2 million rows gives 200,000 (10 %); one
labelled by a machine, p = 0.25, gives 63,246 (3 %). A quota that the recipe names wins over the law.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from data.errors import AerieError
from data.settings.selection import SelectionSettings

Rule = Literal["explicit", "law", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceQuota:
    """What a source may give: at most `quota` of its `rows`, and by which rule."""

    source: str
    rows: int
    quota: int
    rule: Rule
    auto_labelled: bool


def lawful_quota(rows: int, target: int, power: float) -> int:
    """The law above, rounded: never more than `rows`, never falling in `rows`.

    >>> lawful_quota(500, 20_000, 0.5), lawful_quota(2_000_000, 20_000, 0.5), lawful_quota(2_000_000, 20_000, 0.25)
    (500, 200000, 63246)
    """
    return rows if rows <= target else min(rows, round(target * (rows / target) ** power))


def source_quotas(
    rows: Mapping[str, int], auto_labelled: Collection[str], settings: SelectionSettings
) -> dict[str, SourceQuota]:
    """The quota of each source of `rows`, in name order; `AerieError` when the recipe names a source without rows."""
    unknown = sorted(set(settings.source_quotas) - set(rows))
    if unknown:
        raise AerieError(
            f"data.selection.source_quotas names {unknown}, which are not among the run's sources {sorted(rows)}; "
            "correct the recipe"
        )
    return {name: _quota(name, rows[name], name in auto_labelled, settings) for name in sorted(rows)}


def _quota(name: str, rows: int, auto_labelled: bool, settings: SelectionSettings) -> SourceQuota:
    quota: int = rows
    rule: Rule = "all"
    if name in settings.source_quotas:
        quota, rule = min(rows, settings.source_quotas[name]), "explicit"
    elif settings.source_target is not None:
        power = settings.auto_labelled_power if auto_labelled else settings.source_power
        quota, rule = lawful_quota(rows, settings.source_target, power), "law"
    return SourceQuota(source=name, rows=rows, quota=quota, rule=rule, auto_labelled=auto_labelled)
