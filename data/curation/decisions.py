"""From measures to decisions: a table of rules, each a measure against one of the recipe's thresholds."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa

from data.settings.filtering import FilterSettings

DIGITS = 2  # shares are counted to so many digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A sample whose measure is beyond the threshold of that name is dropped for the reason."""

    reason: str
    measure: str
    beyond: Literal[">", "<"] = ">"
    threshold: str

    def fires(self, values: np.ndarray, settings: FilterSettings) -> np.ndarray:
        """Bool [R]; a value that is missing (NaN) is beyond nothing."""
        limit = getattr(settings, self.threshold)
        return values > limit if self.beyond == ">" else values < limit


# In the order in which they are asked; the first that fires is the reason, the report counts all of them.
RULES: tuple[Rule, ...] = (
    Rule(reason="wrong_turn_order", measure="order_errors", threshold="max_order_errors"),
    Rule(reason="empty_turn", measure="empty_turns", threshold="max_empty_turns"),
    Rule(reason="placeholder_leak", measure="placeholder_leaks", threshold="max_placeholder_leaks"),
    Rule(reason="refusal", measure="refusals", threshold="max_refusals"),
    Rule(reason="template_residue", measure="template_residues", threshold="max_template_residues"),
    Rule(reason="broken_markup", measure="markup_errors", threshold="max_markup_errors"),
    Rule(reason="answer_too_long", measure="answer_chars", threshold="max_answer_chars"),
    Rule(reason="turn_too_long", measure="max_turn_chars", threshold="max_turn_chars"),
    Rule(reason="repeated_text", measure="repeated_ngram_ratio", threshold="max_repeated_ngram_ratio"),
    Rule(reason="looped_text", measure="loop_share", threshold="max_loop_share"),
    Rule(reason="repeated_lines", measure="repeated_line_ratio", threshold="max_repeated_line_ratio"),
    Rule(reason="repeated_turns", measure="repeated_turn_ratio", threshold="max_repeated_turn_ratio"),
    Rule(reason="unsupported_precision", measure="unsupported_decimals", threshold="max_unsupported_decimals"),
    Rule(reason="mismatched_answer", measure="mismatched_turns", threshold="max_mismatched_turns"),
    Rule(reason="mismatched_language", measure="language_mismatches", threshold="max_language_mismatches"),
    Rule(reason="absent_image", measure="questions_beyond_images", threshold="max_questions_beyond_images"),
    Rule(reason="irrelevant_image", measure="relevance", beyond="<", threshold="min_image_text_relevance"),
    Rule(reason="no_text_in_image", measure="text_strokes", beyond="<", threshold="min_text_strokes"),
)
KEPT = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """Of R rows: first int [R], the index of the first rule that fires, `KEPT` for none; fired bool [rules, R]."""

    first: np.ndarray
    fired: np.ndarray

    @property
    def keep(self) -> np.ndarray:
        """Bool [R]."""
        return self.first == KEPT

    def reasons(self, row: int) -> list[str]:
        """All reasons of a row."""
        return [rule.reason for rule, fired in zip(RULES, self.fired[:, row], strict=True) if fired]


def decide(measures: pa.Table, settings: FilterSettings) -> Decisions:
    """Decide on every row of a measures table; a measure that wasn't taken decides nothing. No text is looked at."""
    fired = np.stack([rule.fires(column(measures, rule.measure), settings) for rule in RULES])
    return Decisions(first=np.where(fired.any(axis=0), fired.argmax(axis=0), KEPT), fired=fired)


def judged(measures: pa.Table, decisions: Decisions) -> pa.Table:
    """The measures with a column `reason`, null for a row that stays."""
    reasons = pa.array([rule.reason for rule in RULES])
    first = pa.array(decisions.first, mask=decisions.first == KEPT)
    return measures.append_column("reason", reasons.take(first))


def column(measures: pa.Table, name: str) -> np.ndarray:
    """A measure's values [R]; NaN where it wasn't taken."""
    taken = name in measures.column_names
    return measures[name].to_numpy() if taken else np.full(measures.num_rows, np.nan)


@dataclass(slots=True)
class Distribution:
    """How often each value of a measure was met: exact for counts, to two digits for shares; parts add up."""

    values: Counter[float] = field(default_factory=Counter)

    @classmethod
    def of(cls, measured: np.ndarray) -> "Distribution":
        """Count one shard's values."""
        known = measured[~np.isnan(measured)]
        values, rows = np.unique(np.round(known.astype(np.float64), DIGITS), return_counts=True)
        return cls(Counter(dict(zip(values.tolist(), rows.tolist(), strict=True))))

    def quantile(self, share: float) -> float | None:
        """The smallest value that so large a share of the rows doesn't exceed; None without rows."""
        wanted, seen = share * self.values.total(), 0
        for value in sorted(self.values):
            seen += self.values[value]
            if seen >= wanted:
                return value
        return None

    def histogram(self, bins: int) -> list[tuple[float, float, int]]:
        """(from, to, rows) of equal bins over the values met; a single value is one bin of no width."""
        if not self.values:
            return []
        low, high = min(self.values), max(self.values)
        if low == high:
            return [(low, high, self.values.total())]
        edges = np.linspace(low, high, bins + 1)
        rows, _ = np.histogram(list(self.values), edges, weights=list(self.values.values()))
        return [(float(a), float(b), int(n)) for a, b, n in zip(edges[:-1], edges[1:], rows, strict=True)]
