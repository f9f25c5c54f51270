"""Rules of public benchmarks as pure scorers, each in the three behaviours that published numbers come from.

`eagle2` follows the papers and the official scripts, strictly and without guessing; `vlmevalkit` and `lmms-eval` do
what these tools do without a judge. `DIVERGENCES` lists every known difference, `SOURCES` the code that was read. One
output under a rule set is `verdict`, a benchmark `summarise` (its score is a mean of `units`), the distance between the
tools `rule_gap`. No model, no network, no randomness.
"""

from model.evaluation.rules.common import RULE_SETS, RuleSet
from model.evaluation.rules.divergences import DIVERGENCES, Divergence
from model.evaluation.rules.sources import RULES_VERSION, SOURCES, Source
from model.evaluation.rules.summary import rule_gap, summarise
from model.evaluation.rules.units import UNIT_RULES, Unit, units
from model.evaluation.rules.verdicts import RULES, verdict

__all__ = [
    "DIVERGENCES",
    "RULES",
    "RULES_VERSION",
    "RULE_SETS",
    "SOURCES",
    "UNIT_RULES",
    "Divergence",
    "RuleSet",
    "Source",
    "Unit",
    "rule_gap",
    "summarise",
    "units",
    "verdict",
]
