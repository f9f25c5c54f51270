"""The Great Expectations suite `canonical`: what must hold for the table of training samples as a whole."""

import logging
import os
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from data.expectations.checks import placeholders
from data.schema import CATEGORIES, Sample

if TYPE_CHECKING:
    import pandas as pd

SUITE = "canonical"
MAX_IMAGES, MAX_TURNS, MAX_SIDE = 64, 400, 16_384


def sample_facts(sample: Sample) -> dict[str, Any]:
    """The columns that the suite looks at, for one sample; sizes in pixels, None without an image."""
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


def facts_frame(facts: Iterable[dict[str, Any]]) -> "pd.DataFrame":
    """One row per sample, typed also when it is empty."""
    columns = list(sample_facts(Sample(sample_id="", source="", category="", images=(), conversations=())))
    import pandas as pd  # a second that the other data steps, which load this module too, need not wait

    frame = pd.DataFrame(list(facts), columns=columns)
    numbers = ["images", "placeholders", "turns", "shortest_answer", "min_width", "min_height", "max_side"]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def canonical_suite(sources: Sequence[str]) -> Any:
    """The suite for a recipe's sources. `meta.name` is the name that reports and errors use."""
    gx = _great_expectations()
    e = gx.expectations

    def named(name: str, kind: Any, severity: str = "critical", **arguments: Any) -> Any:
        return kind(**arguments, severity=severity, meta={"name": name})

    between = e.ExpectColumnValuesToBeBetween
    return gx.ExpectationSuite(
        name=SUITE,
        expectations=[
            named("table_not_empty", e.ExpectTableRowCountToBeBetween, min_value=1),
            named("sample_id_present", e.ExpectColumnValuesToNotBeNull, column="sample_id"),
            named("sample_id_unique", e.ExpectColumnValuesToBeUnique, column="sample_id"),
            named("sample_id_form", e.ExpectColumnValuesToMatchRegex, column="sample_id", regex="^[0-9a-f]{32}$"),
            named("category_known", e.ExpectColumnValuesToBeInSet, column="category", value_set=list(CATEGORIES)),
            named("source_known", e.ExpectColumnValuesToBeInSet, column="source", value_set=list(sources)),
            named(
                "every_source_has_rows",
                e.ExpectColumnDistinctValuesToContainSet,
                column="source",
                value_set=list(sources),
            ),
            named("images_count", between, column="images", min_value=0, max_value=MAX_IMAGES),
            named(
                "placeholders_equal_images",
                e.ExpectColumnPairValuesToBeEqual,
                column_A="images",
                column_B="placeholders",
            ),
            named("turns_at_least_two", between, column="turns", min_value=2),
            named("ends_with_assistant", e.ExpectColumnValuesToBeInSet, column="last_role", value_set=["assistant"]),
            named("answers_not_empty", between, column="shortest_answer", min_value=1),
            named("width_positive", between, column="min_width", min_value=1),
            named("height_positive", between, column="min_height", min_value=1),
            named("turns_reasonable", between, "warning", column="turns", max_value=MAX_TURNS),
            named("side_reasonable", between, "warning", column="max_side", max_value=MAX_SIDE),
        ],
    )


def run_suite(frame: "pd.DataFrame", sources: Sequence[str]) -> Any:
    """The suite's result on a table (an `ExpectationSuiteValidationResult`); no files, no network, no bars."""
    gx = _great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("aerie").add_dataframe_asset("samples")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(batch_parameters={"dataframe": frame})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GX's own deprecations say nothing about the data
        return batch.validate(canonical_suite(sources))


def summary(result: Any) -> list[dict[str, Any]]:
    """One plain entry per expectation: name, severity, success, how many rows fail, examples."""
    entries = []
    for item in result.to_json_dict()["results"]:
        config, outcome = item["expectation_config"], item["result"]
        entries.append(
            {
                "name": config["meta"]["name"],
                "expectation": config["type"],
                "severity": config["severity"],
                "success": bool(item["success"]),
                "column": config["kwargs"].get("column", ""),
                "observed": _short(outcome.get("observed_value")),
                "unexpected": outcome.get("unexpected_count", 0),
                "examples": [str(value)[:80] for value in outcome.get("partial_unexpected_list", [])[:3]],
                "exception": (item.get("exception_info") or {}).get("exception_message"),
            }
        )
    return entries


def _short(value: Any) -> str:
    return "" if value is None else str(value)[:200]


def _great_expectations() -> Any:
    """Great Expectations, imported where it is used (4 s) with its analytics off, which it reads at import."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations

    return great_expectations
