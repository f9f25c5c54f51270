"""The border `measured`, after filtering: every row was measured, judged once, and no source vanished by surprise."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.expectations.border import border_attachments
from data.expectations.identities import IdSums, Repeats, coded, id_hashes
from data.expectations.suites import Expectation, between, zero
from data.settings.expectations import ExpectationSettings

if TYPE_CHECKING:
    import pandas as pd

SUITE = "measured"
Range = tuple[float | None, float | None]
RANGES: dict[str, Range] = {"relevance": (-1, 1)}
NOT_ALWAYS = frozenset({"relevance", "text_strokes"})  # have no value where there is no image to look at
SHARES = ("_ratio", "_share")  # a measure of this ending lies in 0 to 1; any other counts something, 0 or more


def measure_range(name: str, ranges: Mapping[str, Range] = RANGES) -> Range:
    """The lowest and highest value that a measure can have; None is no limit."""
    return ranges.get(name, (0, 1) if name.endswith(SHARES) else (0, None))


@dataclass(slots=True)
class MeasuredFacts:
    """Sums over the measured rows by source: bounded memory, whatever the number of rows.

    Columns of a table: sample_id, source, `reason` (null or "" for a row that stays); every numeric column is a
    measure. Tables may come in any order, from several processes too (`merge`).
    """

    reasons: frozenset[str]
    measures: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # source, measure: missing, min, max
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)  # source, reason: rows
    seen: IdSums = field(default_factory=IdSums)
    expected: IdSums = field(default_factory=IdSums)
    repeats: Repeats = field(default_factory=Repeats)

    def expect(self, table: pa.Table) -> None:
        """Rows of the gate (sample_id, source): each must turn up among the measured ones."""
        self.expected.add(table["source"], id_hashes(table["sample_id"]))

    def see(self, table: pa.Table) -> None:
        """Measured and judged rows."""
        if not table.num_rows:
            return
        hashes, reasons = id_hashes(table["sample_id"]), pc.fill_null(table["reason"].cast(pa.string()), "")
        self.seen.add(table["source"], hashes)
        self.repeats.add(table["source"], hashes, np.asarray(pc.equal(reasons, "")))
        judged = table.select([column.name for column in table.schema if _is_number(column.type)])
        judged = judged.append_column("reason", reasons)
        names, codes = coded(table["source"])
        for code, name in enumerate(names):
            self._see_source(name, judged if len(names) == 1 else judged.filter(pa.array(codes == code)))

    def _see_source(self, source: str, rows: pa.Table) -> None:
        dropped = self.dropped.setdefault(source, {})
        for entry in pc.value_counts(rows["reason"]).to_pylist():
            if entry["values"]:
                dropped[entry["values"]] = dropped.get(entry["values"], 0) + entry["counts"]
        measures = self.measures.setdefault(source, {})
        for name in rows.column_names[:-1]:
            _widen(measures, name, _extent(rows[name]))

    def merge(self, other: "MeasuredFacts") -> None:
        """Take in what another process saw."""
        for source, measures in other.measures.items():
            for name, extent in measures.items():
                _widen(self.measures.setdefault(source, {}), name, extent)
        for source, reasons in other.dropped.items():
            mine = self.dropped.setdefault(source, {})
            for reason, rows in reasons.items():
                mine[reason] = mine.get(reason, 0) + rows
        self.seen.merge(other.seen)
        self.expected.merge(other.expected)
        self.repeats.merge(other.repeats)

    def frame(self, settings: ExpectationSettings) -> "pd.DataFrame":
        """One row a source, in name order."""
        import pandas as pd

        repeated, torn = self.repeats.counts()
        names = sorted({*self.seen.rows, *self.expected.rows})
        rows = [self._row(name, settings, repeated.get(name, 0), torn.get(name, 0)) for name in names]
        return pd.DataFrame(rows, columns=[*_BASE, *self._measure_columns()]).astype(dict.fromkeys(_BASE[1:], float))

    def _row(self, source: str, settings: ExpectationSettings, repeated: int, torn: int) -> dict[str, Any]:
        rows, dropped = self.seen.rows[source], self.dropped.get(source, {})
        lost = sum(dropped.values())
        share = lost / rows if rows else 0.0
        row: dict[str, Any] = {
            "source": source,
            "gate_rows": self.expected.rows[source],
            "rows": rows,
            "ids_differ": self.seen.differs(self.expected, source),
            "repeated_ids": repeated,
            "kept_and_dropped": torn,
            "kept": rows - lost,
            "drop_share": share,
            "judged_drop_share": share if rows >= settings.min_rows_judged else math.nan,
            "unknown_reasons": sum(count for reason, count in dropped.items() if reason not in self.reasons),
        }
        for name, (missing, low, high) in self.measures.get(source, {}).items():
            row |= {f"{name}.missing": missing, f"{name}.min": low, f"{name}.max": high}
        return row

    def _measure_columns(self) -> list[str]:
        return [f"{name}.{part}" for name in self.measure_names() for part in ("missing", "min", "max")]

    def measure_names(self) -> list[str]:
        """Every measure seen, in name order."""
        return sorted({name for measures in self.measures.values() for name in measures})


_BASE = [
    "source",
    "gate_rows",
    "rows",
    "ids_differ",
    "repeated_ids",
    "kept_and_dropped",
    "kept",
    "drop_share",
    "judged_drop_share",
    "unknown_reasons",
]


def measured_expectations(
    measures: Sequence[str], settings: ExpectationSettings, ranges: Mapping[str, Range] = RANGES
) -> list[Expectation]:
    """The suite on a frame of `MeasuredFacts`."""
    suite = [
        Expectation(name="table_not_empty", kind="ExpectTableRowCountToBeBetween", arguments={"min_value": 1}),
        Expectation(
            name="rows_equal_gate",
            kind="ExpectColumnPairValuesToBeEqual",
            arguments={"column_A": "rows", "column_B": "gate_rows"},
        ),
        zero("ids_equal_gate", "ids_differ"),
        zero("sample_id_unique", "repeated_ids"),
        zero("kept_apart_from_dropped", "kept_and_dropped"),
        zero("reasons_known", "unknown_reasons"),
        between("drop_share_below_limit", "judged_drop_share", 0, settings.max_drop_share),
        between("no_source_lost", "kept", 1, None, "warning"),
    ]
    for name in measures:
        low, high = measure_range(name, ranges)
        if name not in NOT_ALWAYS:
            suite.append(zero(f"{name}_complete", f"{name}.missing"))
        if low is not None:
            suite.append(between(f"{name}_not_below_range", f"{name}.min", low))
        if high is not None:
            suite.append(between(f"{name}_not_above_range", f"{name}.max", None, high))
    return suite


def measured_border(out_uri: str, facts: MeasuredFacts, settings: ExpectationSettings) -> dict[str, dict[str, str]]:
    """Run the suite; the attachment entries `expectations` and `docs` of the filtering step's manifest."""
    suite = measured_expectations(facts.measure_names(), settings)
    return border_attachments(out_uri, SUITE, suite, facts.frame(settings), "source")


def measured_facts(gate: Iterable[pa.Table], measured: Iterable[pa.Table], reasons: Iterable[str]) -> MeasuredFacts:
    """The facts of all tables, for whoever doesn't walk over them anyway."""
    facts = MeasuredFacts(reasons=frozenset(reasons))
    for table in gate:
        facts.expect(table)
    for table in measured:
        facts.see(table)
    return facts


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _extent(column: pa.ChunkedArray) -> list[float]:
    """How many values are missing (null or not finite), and the lowest and highest of the others (NaN without any)."""
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    finite = values[np.isfinite(values)]
    missing = float(len(values) - len(finite))
    return [missing, float(finite.min()), float(finite.max())] if len(finite) else [missing, math.nan, math.nan]


def _widen(measures: dict[str, list[float]], name: str, extent: list[float]) -> None:
    mine = measures.setdefault(name, [0.0, math.nan, math.nan])
    lowest, highest = float(np.fmin(mine[1], extent[1])), float(np.fmax(mine[2], extent[2]))
    measures[name] = [mine[0] + extent[0], lowest, highest]
