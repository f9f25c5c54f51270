"""The border `selected`, after selection: the stages hold what the paper's section 2.2 says, and quotas are kept."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.expectations.border import border_attachments
from data.expectations.identities import IdSums, Repeats, coded, id_hashes
from data.expectations.suites import Expectation, between, zero
from data.settings.expectations import ExpectationSettings

if TYPE_CHECKING:
    import pandas as pd

SUITE = "selected"
STAGES = ("stage_1", "stage_1_5", "stage_2")
Scope = Literal["category", "source"]
Group = tuple[Scope, str]
COUNTED = (
    "rows",
    *STAGES,
    "outside_stage_1_5",
    "stage_2_outside_stage_1_5",
    "unknown_stages",
    "repeated_stages",
)
COLUMNS = (
    "group",
    *COUNTED,
    "filtered_rows",
    "ids_differ",
    "repeated_ids",
    "quota",
    "over_quota",
    "share_of_stage_2",
    "coverage",
    "schema_changes",
)


@dataclass(slots=True)
class SelectedFacts:
    """Sums over the selected rows by category and by source.

    Columns of a table: sample_id, source, category, `stages` (list of stage names), `cluster` (integer or null).
    Memory grows with the clusters, and by ten bytes a row. Tables may come in any order (`merge`).
    """

    counts: defaultdict[Group, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    clusters: defaultdict[str, dict[int, bool]] = field(default_factory=lambda: defaultdict(dict))
    seen: IdSums = field(default_factory=IdSums)
    expected: IdSums = field(default_factory=IdSums)
    chosen: IdSums = field(default_factory=IdSums)
    repeats: Repeats = field(default_factory=Repeats)
    schemas: list[str] = field(default_factory=list)

    def expect(self, table: pa.Table) -> None:
        """Rows that the filters kept (sample_id, source): each must stand in stage 1.5."""
        self.expected.add(table["source"], id_hashes(table["sample_id"]))

    def see(self, table: pa.Table) -> None:
        """Selected rows."""
        schema = str([(column.name, str(column.type)) for column in table.schema])
        if schema not in self.schemas:
            self.schemas.append(schema)
        if not table.num_rows:
            return
        hashes, flags = id_hashes(table["sample_id"]), _stage_flags(table["stages"])
        inside, drawn = flags["stage_1_5"] > 0, flags["stage_2"] > 0
        self.seen.add(table["source"].filter(pa.array(inside)), hashes[inside])
        self.chosen.add(table["category"].filter(pa.array(drawn)), hashes[drawn])
        self.repeats.add(table["source"], hashes, np.ones(len(hashes), dtype=bool))
        self._count("category", table["category"], flags)
        self._count("source", table["source"], flags)
        self._reach(table.select(["category", "cluster"]).append_column("drawn", pa.array(drawn.astype(np.int8))))

    def _count(self, scope: Scope, column: pa.ChunkedArray, flags: dict[str, np.ndarray]) -> None:
        names, codes = coded(column)
        outside = flags["stage_1_5"] == 0
        facts = {stage: flags[stage] > 0 for stage in STAGES}
        facts |= {
            "rows": np.ones(len(codes), dtype=bool),
            "outside_stage_1_5": outside,
            "stage_2_outside_stage_1_5": outside & facts["stage_2"],
            "repeated_stages": np.any([flags[stage] > 1 for stage in STAGES], axis=0),
            "unknown_stages": flags["unknown"] > 0,
        }
        for fact, holds in facts.items():
            for name, rows in zip(names, np.bincount(codes[holds], minlength=len(names)).tolist(), strict=True):
                self.counts[(scope, name)][fact] += rows

    def _reach(self, table: pa.Table) -> None:
        """Which clusters there are, and which of them stage 2 draws from."""
        clustered = table.filter(pc.is_valid(table["cluster"]))
        for row in clustered.group_by(["category", "cluster"]).aggregate([("drawn", "max")]).to_pylist():
            reached = self.clusters[row["category"]]
            reached[row["cluster"]] = reached.get(row["cluster"], False) or row["drawn_max"] > 0

    def merge(self, other: "SelectedFacts") -> None:
        """Take in what another process saw."""
        for group, counts in other.counts.items():
            self.counts[group].update(counts)
        for category, clusters in other.clusters.items():
            for cluster, there in clusters.items():
                self.clusters[category][cluster] = self.clusters[category].get(cluster, False) or there
        self.seen.merge(other.seen)
        self.expected.merge(other.expected)
        self.chosen.merge(other.chosen)
        self.repeats.merge(other.repeats)
        self.schemas += [schema for schema in other.schemas if schema not in self.schemas]

    def frame(self, quotas: Mapping[Group, int]) -> "pd.DataFrame":
        """One row a category and one a source, named `category NAME` and `source NAME`; what has no sense is empty."""
        import pandas as pd

        repeated, _ = self.repeats.counts()
        groups = sorted({*self.counts, *(("source", name) for name in self.expected.rows)})
        rows = [self._row(group, quotas.get(group), repeated) for group in groups]
        frame = pd.DataFrame(rows, columns=[*COLUMNS, "stage_2_digest"])
        return frame.astype(dict.fromkeys(COLUMNS[1:], float))

    def _row(self, group: Group, quota: int | None, repeated: Mapping[str, int]) -> dict[str, Any]:
        (scope, name), counts = group, self.counts.get(group, Counter())
        row: dict[str, Any] = {"group": f"{scope} {name}", "quota": quota, "schema_changes": len(self.schemas) - 1}
        row |= {column: counts[column] for column in COUNTED}
        row["over_quota"] = None if quota is None else max(0, counts["stage_2"] - quota)
        if scope == "category":
            drawn = sum(found["stage_2"] for (kind, _), found in self.counts.items() if kind == "category")
            reached = list(self.clusters.get(name, {}).values())
            return row | {
                "share_of_stage_2": counts["stage_2"] / drawn if drawn else None,
                "coverage": sum(reached) / len(reached) if reached else None,
                "stage_2_digest": f"{self.chosen.sums[name]:016x}",
            }
        differs = self.seen.differs(self.expected, name)
        row |= {"filtered_rows": self.expected.rows[name], "ids_differ": differs}
        return row | {"repeated_ids": repeated.get(name, 0)}


def selected_expectations(settings: ExpectationSettings) -> list[Expectation]:
    """The suite on a frame of `SelectedFacts`."""
    return [
        Expectation(name="table_not_empty", kind="ExpectTableRowCountToBeBetween", arguments={"min_value": 1}),
        zero("kept_rows_in_stage_1_5", "ids_differ"),
        zero("every_row_in_stage_1_5", "outside_stage_1_5"),
        zero("stage_2_within_stage_1_5", "stage_2_outside_stage_1_5"),
        zero("stages_known", "unknown_stages"),
        zero("stages_named_once", "repeated_stages"),
        zero("sample_id_unique", "repeated_ids"),
        zero("quotas_respected", "over_quota"),
        zero("columns_equal_in_all_shards", "schema_changes"),
        between("category_share_reasonable", "share_of_stage_2", None, settings.max_category_share, "warning"),
        between("coverage_reasonable", "coverage", settings.min_coverage, None, "warning"),
    ]


def selected_border(
    out_uri: str, facts: SelectedFacts, quotas: Mapping[Group, int], settings: ExpectationSettings
) -> dict[str, dict[str, str]]:
    """Run the suite; the attachment entries `expectations` and `docs` of the selection step's manifest.

    `quotas` maps ("category", NAME) or ("source", NAME) to the most rows that stage 2 may take of it.
    """
    return border_attachments(out_uri, SUITE, selected_expectations(settings), facts.frame(quotas), "group")


def _stage_flags(stages: pa.ChunkedArray) -> dict[str, np.ndarray]:
    """int64 [N] by stage, and `unknown`: how often each row names it."""
    column = stages.combine_chunks()
    names = np.asarray(pc.list_flatten(column).to_pylist(), dtype=object)
    parents = np.asarray(pc.list_parent_indices(column), dtype=np.int64)
    flags = {stage: np.bincount(parents[names == stage], minlength=len(column)) for stage in STAGES}
    known = np.isin(names.astype(str), STAGES) if len(names) else np.zeros(0, dtype=bool)
    return {**flags, "unknown": np.bincount(parents[~known], minlength=len(column))}


def stage_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of plain values as a table of the columns that `SelectedFacts` reads."""
    fields = [("sample_id", pa.string()), ("source", pa.string()), ("category", pa.string())]
    schema = pa.schema([*fields, ("stages", pa.list_(pa.string())), ("cluster", pa.int64())])
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
