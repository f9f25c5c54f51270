"""Great Expectations' doorway: plain expectations in, a validation result and plain summaries out.

Importing the library takes seconds and 200 MiB, so it happens inside functions and only where a suite really runs:
whoever enforces a border later reads the JSON that was written here.
"""

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = 3
ADDRESS_GRAMMAR = (
    "rfc3987_syntax"  # jsonschema compiles it for 2 s, to check web addresses in schemas that we don't have
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One line of a suite.

    `name` is what reports and errors use; `kind` the class in `great_expectations.expectations`; a failed `critical`
    one stops the run, a failed `warning` doesn't.
    """

    name: str
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)
    severity: Literal["critical", "warning"] = "critical"


def between(
    name: str,
    column: str,
    low: float | None = None,
    high: float | None = None,
    severity: Literal["critical", "warning"] = "critical",
) -> Expectation:
    """A column's values lie in [low, high]; an empty value (NaN) is not judged."""
    limits = {key: value for key, value in (("min_value", low), ("max_value", high)) if value is not None}
    return Expectation(
        name=name, kind="ExpectColumnValuesToBeBetween", arguments={"column": column, **limits}, severity=severity
    )


def zero(name: str, column: str, severity: Literal["critical", "warning"] = "critical") -> Expectation:
    """A column counts what must not be."""
    return between(name, column, 0, 0, severity)


def run_suite(name: str, expectations: Sequence[Expectation], frame: "pd.DataFrame", key: str = "") -> Any:
    """The suite's result on a table (an `ExpectationSuiteValidationResult`); no files, no network, no bars.

    `key` is the column whose values name the failing rows in the result.
    """
    gx = _great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("aerie").add_dataframe_asset("samples")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(batch_parameters={"dataframe": frame})
    suite = gx.ExpectationSuite(name=name, expectations=[_built(gx, one) for one in expectations])
    shown: dict[str, Any] = {"result_format": "SUMMARY"}
    if key:
        shown["unexpected_index_column_names"] = [key]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GX's own deprecations say nothing about the data
        return batch.validate(suite, result_format=shown)


def summary(result: Any, key: str = "") -> list[dict[str, Any]]:
    """One plain entry per expectation: name, severity, success, how many rows fail, examples."""
    entries = []
    for item in result.to_json_dict()["results"]:
        config, outcome = item["expectation_config"], item["result"]
        column = config["kwargs"].get("column", "")
        entries.append(
            {
                "name": config["meta"]["name"],
                "expectation": config["type"],
                "severity": config["severity"],
                "success": bool(item["success"]),
                "column": column,
                "observed": _short(outcome.get("observed_value")),
                "unexpected": outcome.get("unexpected_count", 0),
                "examples": _examples(outcome, column, key),
                "exception": (item.get("exception_info") or {}).get("exception_message"),
            }
        )
    return entries


def suite_report(name: str, result: Any, key: str = "") -> dict[str, Any]:
    """What a step attaches as JSON: `success` is false when a critical expectation failed."""
    entries, document = summary(result, key), result.to_json_dict()
    return {
        "suite": name,
        "success": all(entry["success"] for entry in entries if entry["severity"] == "critical"),
        "expectations": entries,
        "statistics": document["statistics"],
        "great_expectations_version": document["meta"]["great_expectations_version"],
    }


def _examples(outcome: dict[str, Any], column: str, key: str) -> list[str]:
    """Failing values, each with the name of its row where the suite has such a column."""
    rows = outcome.get("partial_unexpected_index_list") if key else None
    if rows:
        return [f"{row[key]}: {row.get(column)}"[:120] for row in rows[:EXAMPLES]]
    return [str(value)[:80] for value in outcome.get("partial_unexpected_list", [])[:EXAMPLES]]


def _short(value: Any) -> str:
    return "" if value is None else str(value)[:200]


def _built(gx: Any, expectation: Expectation) -> Any:
    kind = getattr(gx.expectations, expectation.kind)
    return kind(**expectation.arguments, severity=expectation.severity, meta={"name": expectation.name})


def _great_expectations() -> Any:
    """Great Expectations, imported where it is used (3 s) with its analytics off, which it reads at import."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    with _without(ADDRESS_GRAMMAR):
        import great_expectations

    return great_expectations


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Let an optional module look absent while another is imported; where it is loaded already nothing changes."""
    if module in sys.modules:
        yield
        return
    # None is Python's own way to say that a module can't be imported.
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
