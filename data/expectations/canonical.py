"""The border `canonical`, after validation: what must hold for the training samples of every source."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data.expectations.checks import placeholders
from data.expectations.identities import Repeats, id_hashes
from data.expectations.suites import Expectation, between, zero
from data.schema import CATEGORIES, Sample

if TYPE_CHECKING:
    import pandas as pd

SUITE = "canonical"
MAX_IMAGES, MAX_TURNS, MAX_SIDE = 64, 400, 16_384
ID_FORM = re.compile(r"[0-9a-f]{32}")
COUNTED = ("rows", "malformed_ids", "unknown_categories", "misplaced_images", "without_final_answer")
EXTENTS = {  # column: the fact whose extreme over a source it is, and which extreme
    "most_images": ("images", max),
    "fewest_turns": ("turns", min),
    "most_turns": ("turns", max),
    "shortest_answer": ("shortest_answer", min),
    "min_width": ("min_width", min),
    "min_height": ("min_height", min),
    "max_side": ("max_side", max),
}


def sample_facts(sample: Sample) -> dict[str, Any]:
    """What the suite looks at, for one sample; sizes in pixels, None without an image."""
    answers = [turn.content for turn in sample.conversations if turn.role == "assistant"]
    return {
        "sample_id": sample.sample_id,
        "source": sample.source,
        "category": sample.category,
        "images": len(sample.images),
        "placeholders": placeholders(sample),
        "turns": len(sample.conversations),
        "last_role": sample.conversations[-1].role if sample.conversations else None,
        "shortest_answer": min((len(answer.strip()) for answer in answers), default=0),
        "min_width": min((image.width for image in sample.images), default=None),
        "min_height": min((image.height for image in sample.images), default=None),
        "max_side": max((max(image.width, image.height) for image in sample.images), default=None),
    }


@dataclass(slots=True)
class CanonicalFacts:
    """Sums and extremes over the samples by source; memory grows by ten bytes a sample."""

    counts: dict[str, dict[str, float]] = field(default_factory=dict)
    extents: dict[str, dict[str, float]] = field(default_factory=dict)
    repeats: Repeats = field(default_factory=Repeats)

    def see(self, facts: Sequence[dict[str, Any]]) -> None:
        """The `sample_facts` of some samples of any sources."""
        if not facts:
            return
        names = pa.chunked_array([[fact["source"] for fact in facts]], pa.string())
        ids = pa.chunked_array([[fact["sample_id"] for fact in facts]], pa.string())
        self.repeats.add(names, id_hashes(ids), np.ones(len(facts), dtype=bool))
        for fact in facts:
            self._see(fact)

    def _see(self, fact: dict[str, Any]) -> None:
        counts = self.counts.setdefault(fact["source"], dict.fromkeys(COUNTED, 0))
        counts["rows"] += 1
        counts["malformed_ids"] += ID_FORM.fullmatch(fact["sample_id"] or "") is None
        counts["unknown_categories"] += fact["category"] not in CATEGORIES
        counts["misplaced_images"] += fact["images"] != fact["placeholders"]
        counts["without_final_answer"] += fact["last_role"] != "assistant"
        extents = self.extents.setdefault(fact["source"], {})
        for column, (name, extreme) in EXTENTS.items():
            if (value := fact[name]) is not None:
                extents[column] = extreme(extents.get(column, value), value)

    def rows(self, source: str) -> int:
        """Samples of a source."""
        return int(self.counts.get(source, {}).get("rows", 0))

    def frame(self, sources: Sequence[str]) -> "pd.DataFrame":
        """One row a source: those of the recipe in its order, then any others; nothing where there is no value."""
        import pandas as pd  # a second that the other data steps, which load this module too, need not wait

        repeated, _ = self.repeats.counts()
        total = sum(map(self.rows, self.counts))
        names = [*sources, *sorted(set(self.counts) - set(sources))]
        rows = [
            {
                "source": name,
                **dict.fromkeys(COUNTED, 0),
                **self.counts.get(name, {}),
                "rows_of_all_sources": total,
                "repeated_ids": repeated.get(name, 0),
                **dict.fromkeys(EXTENTS, math.nan),
                **self.extents.get(name, {}),
            }
            for name in names
        ]
        columns = [*COUNTED, "rows_of_all_sources", "repeated_ids", *EXTENTS]
        return pd.DataFrame(rows, columns=["source", *columns]).astype(dict.fromkeys(columns, "float64"))


def canonical_expectations(sources: Sequence[str]) -> list[Expectation]:
    """The suite for a recipe's sources, on a frame of `CanonicalFacts`."""
    return [
        between("table_not_empty", "rows_of_all_sources", 1),
        Expectation(
            name="source_known",
            kind="ExpectColumnValuesToBeInSet",
            arguments={"column": "source", "value_set": list(sources)},
        ),
        between("every_source_has_rows", "rows", 1),
        zero("sample_id_unique", "repeated_ids"),
        zero("sample_id_form", "malformed_ids"),
        zero("category_known", "unknown_categories"),
        between("images_count", "most_images", 0, MAX_IMAGES),
        zero("placeholders_equal_images", "misplaced_images"),
        between("turns_at_least_two", "fewest_turns", 2),
        zero("ends_with_assistant", "without_final_answer"),
        between("answers_not_empty", "shortest_answer", 1),
        between("width_positive", "min_width", 1),
        between("height_positive", "min_height", 1),
        between("turns_reasonable", "most_turns", None, MAX_TURNS, "warning"),
        between("side_reasonable", "max_side", None, MAX_SIDE, "warning"),
    ]
