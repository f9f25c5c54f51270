"""What the filtering step reports: of each rule its distribution, what it dropped from which source, and examples."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from data.curation.decisions import RULES, Distribution
from data.curation.measures import MEANINGS, explain
from data.curation.talk import Talk
from data.curation.turns import COLUMNS, flatten
from data.expectations.measured import MeasuredFacts
from data.ledger import Tally
from data.settings.filtering import FilterSettings
from data.shardwise import shard_table
from data.storage import Manifest, shard_payload

REASONS = frozenset(rule.reason for rule in RULES)
SNIPPET_CHARS = 300
BINS = 12
QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)
Place = tuple[str, int, tuple[str, ...], float]  # (shard, row, all reasons, value of the measure)


@dataclass(slots=True)
class Found:
    """What one shard, or all of them, tell the report; parts add up.

    rows; distributions: by measure; fired: rows by reason, first or not; examples: rows by first reason; dropped:
    tables of (sample_id, source, reason); facts: for the border.
    """

    rows: int = 0
    facts: MeasuredFacts = field(default_factory=lambda: MeasuredFacts(reasons=REASONS))
    distributions: dict[str, Distribution] = field(default_factory=dict)
    fired: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Place]] = field(default_factory=dict)
    dropped: list[pa.Table] = field(default_factory=list)

    def distribution(self, measure: str) -> Distribution:
        """A measure's values; empty when it wasn't taken."""
        return self.distributions.get(measure, Distribution())

    def merge(self, other: "Found", examples: int) -> None:
        """Add a later shard's part; at most so many examples of a reason are kept."""
        self.rows += other.rows
        self.facts.merge(other.facts)
        self.fired.update(other.fired)
        self.dropped += other.dropped
        for name, distribution in other.distributions.items():
            self.distributions.setdefault(name, Distribution()).values.update(distribution.values)
        for reason, places in other.examples.items():
            self.examples[reason] = (self.examples.get(reason, []) + places)[:examples]


def filter_report(
    gate_uri: str, gate: Manifest, found: Found, tally: Tally, settings: FilterSettings
) -> dict[str, Any]:
    """JSON: `reasons` (count, examples), `rules` (threshold, distribution, sources), thresholds."""
    dropped: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for count in tally.counts():
        for reason, rows in count.dropped.items():
            dropped[reason][count.source] = rows
    shown = _examples(gate_uri, gate, found)
    return {
        "reasons": {
            rule.reason: {"count": sum(dropped[rule.reason].values()), "examples": shown[rule.reason]}
            for rule in RULES
            if rule.reason in dropped
        },
        "rules": [
            {
                "reason": rule.reason,
                "measure": rule.measure,
                "meaning": MEANINGS[rule.measure],
                "beyond": rule.beyond,
                "threshold": getattr(settings, rule.threshold),
                "fired": found.fired[rule.reason],
                "dropped": dropped.get(rule.reason, {}),
                "quantiles": [[share, found.distribution(rule.measure).quantile(share)] for share in QUANTILES],
                "histogram": found.distribution(rule.measure).histogram(BINS),
            }
            for rule in RULES
        ],
        "measured_rows": found.rows,
        "thresholds": settings.model_dump(),
    }


def _examples(gate_uri: str, gate: Manifest, found: Found) -> dict[str, list[dict[str, Any]]]:
    """The texts of a few dropped rows; only the shards that hold them are read again."""
    wanted: defaultdict[str, list[tuple[str, int, tuple[str, ...], float]]] = defaultdict(list)
    for reason, places in found.examples.items():
        for path, row, reasons, value in places:
            wanted[path].append((reason, row, reasons, value))
    shown: dict[str, list[dict[str, Any]]] = {reason: [] for reason in found.examples}
    for shard in gate.shards:
        if shard.path not in wanted:
            continue
        table = shard_table(shard_payload(gate_uri, shard, gate.step), COLUMNS)
        talks = flatten(table).talks(np.unique([row for _, row, _, _ in wanted[shard.path]]))
        for reason, row, reasons, value in wanted[shard.path]:
            shown[reason].append(
                {
                    "sample_id": table["sample_id"][row].as_py(),
                    "source": table["source"][row].as_py(),
                    **example(talks[row], reason, value),
                    "reasons": list(reasons),
                }
            )
    return shown


def example(talk: Talk, reason: str, value: float) -> dict[str, str]:
    """The conversation, shortened, and what was found in it."""
    measure = next(rule.measure for rule in RULES if rule.reason == reason)
    return {"before": talk.snippet(SNIPPET_CHARS), "detail": explain(talk, measure, value)}
