"""A border: a suite run at the end of a step, its report kept with the step, and enforced by the step that reads it.

A step that raised would leave no manifest, and so no report to read; therefore the step commits and the next refuses.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from data.errors import AerieError
from data.expectations.docs import render_docs
from data.expectations.suites import Expectation, run_suite, suite_report
from data.files import join
from data.storage import attach, read_attachment, read_manifest

if TYPE_CHECKING:
    import pandas as pd

REPORT, DOCS = "expectations", "docs"  # the attachments of the step's manifest
BORDERED = ("filtering", "selection")  # the steps that end at a border; the validation step has a task to enforce it
REPORT_FILE, DOCS_FILE = "expectations.json", "docs.html"


def run_border(
    suite: str, expectations: Sequence[Expectation], frame: "pd.DataFrame", key: str
) -> tuple[dict[str, Any], bytes]:
    """A suite's report on a small table of facts, and its HTML page.

    The report holds the outcome of each expectation and the facts; `key` is the column that names a row of facts.
    """
    result = run_suite(suite, expectations, frame, key)
    report = {**suite_report(suite, result, key), "facts": json.loads(frame.to_json(orient="records"))}
    return report, render_docs(result)


def border_attachments(
    out_uri: str, suite: str, expectations: Sequence[Expectation], frame: "pd.DataFrame", key: str
) -> dict[str, dict[str, str]]:
    """Run a suite and write what it found; the manifest's attachment entries `expectations` (JSON) and `docs` (HTML).

    Nothing is raised: that is `enforce_border`'s part.
    """
    report, page = run_border(suite, expectations, frame, key)
    return {
        REPORT: attach(out_uri, REPORT_FILE, json.dumps(report, indent=1, sort_keys=True).encode()),
        DOCS: attach(out_uri, DOCS_FILE, page),
    }


def enforce_border(folder: str) -> None:
    """The first act of the step that reads `folder`: `AerieError` names every failed critical expectation.

    Rows that came from elsewhere than from a step with a border (a folder made by hand) have nothing to enforce.
    """
    manifest = read_manifest(folder)
    if REPORT not in manifest.attachments and manifest.step not in BORDERED:
        return
    report = json.loads(read_attachment(folder, manifest, REPORT))
    refuse_failures(manifest.step, report, f"See {join(folder, REPORT_FILE)} and {join(folder, DOCS_FILE)}")


def refuse_failures(step: str, report: dict[str, Any], where: str) -> None:
    """Raise `AerieError` when a critical expectation of a suite's report failed; a warning alone passes."""
    failed = [entry for entry in report["expectations"] if not entry["success"] and entry["severity"] == "critical"]
    if failed:
        raise AerieError(
            f"{step} failed on {len(failed)} of {len(report['expectations'])} expectations:\n"
            + "\n".join(map(_line, failed))
            + f"\n{where}"
        )


def _line(entry: dict[str, Any]) -> str:
    more = entry["unexpected"] - len(entry["examples"])
    shown = [*entry["examples"], *([f"and {more} more"] if more > 0 else [])]
    seen = (
        f"observed {entry['observed']}" if entry["observed"] else f"fails for {', '.join(shown) or 'the whole table'}"
    )
    return f"  {entry['name']}: {seen}" + (f" ({entry['exception']})" if entry["exception"] else "")
