"""Formatting: what was rewritten, before and after."""

from typing import Any

from data.reporting.html import Section, Table, Text
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.format_clusters import format_blocks

SHOWN_PER_KIND, SNIPPET_CHARS = 2, 500


def formatting_section(run: RunFolder) -> Section:
    """Kinds of change with counts, the instruction of each task, and examples."""
    report = run.document("formatting")
    changed: dict[str, int] = report.get("changed", {})
    return Section(
        title="Formatting",
        blocks=(
            Text(
                "Decorations are stripped and answer-format instructions added: the same task gets similar words, "
                "different tasks get clearly distinct ones. The held-out set passes the same rules."
            ),
            Table(
                headers=("Change", "Pairs"),
                rows=tuple((kind, f"{count:,}") for kind, count in changed.items()),
                empty="Nothing was changed.",
            ),
            Table(
                caption="Instruction by task",
                headers=("Task", "Instruction", "Pairs"),
                rows=tuple(
                    (task, instruction or "none", f"{pairs:,}")
                    for task, formats in sorted(report.get("formats", {}).items())
                    for instruction, pairs in formats.items()
                ),
                empty="No instruction was given.",
            ),
            *format_blocks(report.get("clusters", {})),
            Table(
                caption="Examples",
                headers=("Change", "Source", "Before", "After"),
                rows=tuple(
                    (example["kind"], example["source"], short(example["before"]), short(example["after"]))
                    for example in _first_of_each(report.get("examples", []))
                ),
                empty="Nothing was changed.",
            ),
        ),
    )


def _first_of_each(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    seen: dict[str, int] = {}
    chosen = []
    for example in examples:
        seen[example["kind"]] = seen.get(example["kind"], 0) + 1
        if seen[example["kind"]] <= SHOWN_PER_KIND:
            chosen.append(example)
    return chosen


def short(text: Any) -> str:
    """A text cut for a table cell; turns come as a list or as one text."""
    if isinstance(text, list):
        text = "\n".join(f"{turn['role']}: {turn['content']}" if isinstance(turn, dict) else str(turn) for turn in text)
    text = str(text)
    return text if len(text) <= SNIPPET_CHARS else text[: SNIPPET_CHARS - 1] + "…"
