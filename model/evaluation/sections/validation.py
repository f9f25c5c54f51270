"""Validation summary: the expectations at three borders, quarantine by reason, and the held-out leak check."""

from typing import Any

from data.reporting.html import Badge, Details, KeyValues, Section, Table, Text
from model.evaluation.run_folder import RunFolder


def validation_section(run: RunFolder) -> Section:
    """What the suite found; read from the validation step's report."""
    report = run.document("validation")
    later = [run.document(step, "expectations") for step in ("filtering", "selection")]
    return Section(
        title="Validation",
        blocks=(
            *_suite(report),
            *(block for suite in later for block in _suite(suite)),
            Text("Held-out leak check: no held-out item, and no image of one, may stand in training."),
            KeyValues(_leaks(report["checks"]["heldout_leak"])),
            _quarantine(report["checks"], run.sources),
        ),
    )


def _suite(report: dict[str, Any]) -> tuple[Text, Table | Details]:
    """A suite whose expectations all hold is one line that unfolds; one that fails lies open."""
    expectations = report["expectations"]
    passed = sum(entry["success"] for entry in expectations)
    table, suite = _expectations(expectations), report["suite"]
    return (
        Text(
            f"Suite {suite} of Great Expectations {report['great_expectations_version']}: "
            f"{passed} of {len(expectations)} expectations hold."
        ),
        table if passed < len(expectations) else Details(summary=f"Expectations of suite {suite}", blocks=(table,)),
    )


def _expectations(entries: list[dict[str, Any]]) -> Table:
    return Table(
        headers=("Expectation", "Severity", "Result", "Fails for"),
        rows=tuple(
            (
                str(entry["name"]),
                str(entry["severity"]),
                Badge("holds", "good") if entry["success"] else Badge("fails", "bad"),
                "; ".join(entry["examples"]) + (" …" if entry["unexpected"] > len(entry["examples"]) else ""),
            )
            for entry in entries
        ),
    )


def _leaks(check: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return (
        ("Training rows compared", f"{check['training_rows_compared']:,}"),
        ("Held-out rows", f"{check['heldout_rows']:,}"),
        ("Held-out images (pixel hashes)", f"{check['heldout_images']:,}"),
        ("Held-out questions without an image", f"{check['heldout_imageless_pairs']:,}"),
        ("Matches found", f"{check['matches_found']:,}"),
        ("Matches dropped from training", f"{check['matches_dropped']:,}"),
    )


def _quarantine(checks: dict[str, Any], sources: list[str]) -> Table:
    rows = []
    for source in sources:
        refused = [("sourcing", reason, n) for reason, n in checks["refused_at_sourcing"].get(source, {}).items()]
        refused += [("validation", reason, n) for reason, n in checks["refused_here"].get(source, {}).items()]
        counts = checks["rows"][source]
        detail = ", ".join(f"{n:,} {reason} ({step})" for step, reason, n in refused) or "none"
        rows.append((source, f"{counts['train']:,}", f"{counts['heldout']:,}", detail))
    return Table(headers=("Source", "Valid training rows", "Valid held-out rows", "Refused"), rows=tuple(rows))
