"""Augmentation: computed questions, and answers made longer by an endpoint, before and after."""

import json
from typing import Any

from data.files import exists, join, read_bytes
from data.reporting.html import Badge, Cell, Details, KeyValues, Section, Table, Text
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.rewriting import short

SHOWN_PER_RULE = 3
TRAFFIC = {
    "requests": "Requests sent, repeats included",
    "retries": "Repeats",
    "cache_hits": "Answers found in the cache",
    "shared": "Answers shared by equal questions in flight",
}
Block = Text | KeyValues | Table | Details


def augmentation_section(run: RunFolder) -> Section:
    """What each rule added; what the endpoint wrote, what of it was rejected and why, and what it cost."""
    report = run.document("augmentation")
    rules: dict[str, dict[str, Any]] = report["rules"]
    rewrites: dict[str, dict[str, Any]] = report["rewrites"]
    return Section(
        title="Augmentation",
        blocks=(*_rule_blocks(run, rules), *(_rewrite_blocks(run, report) if rewrites else ())),
    )


def _rule_blocks(run: RunFolder, rules: dict[str, dict[str, Any]]) -> tuple[Block, ...]:
    shares = {str(name): share for name, share in run.recipe.data.augmentation.rules.items()}
    added = sum(entry["augmented"] for entry in rules.values())
    return (
        Text(
            f"{added:,} turns were added, their answers computed by rule from the source's own data. Each rule "
            "extends a seeded share of the samples that it fits."
        ),
        Table(
            headers=("Rule", "Share", "Samples it fits", "Samples extended"),
            rows=tuple(
                (name, f"{shares[name]:g}", f"{e['fitting']:,}", f"{e['augmented']:,}") for name, e in rules.items()
            ),
            empty="The recipe names no rules.",
        ),
        Table(
            caption="Examples",
            headers=("Rule", "Source", "Before", "After"),
            rows=tuple(
                (name, example["source"], short(example["before"]), short(example["after"]))
                for name, entry in rules.items()
                for example in entry.get("examples", [])[:SHOWN_PER_RULE]
            ),
            empty="Nothing was added.",
        ),
    )


def _rewrite_blocks(run: RunFolder, report: dict[str, Any]) -> tuple[Block, ...]:
    """What an endpoint made of known short answers; without an endpoint, that nothing was made."""
    rewrites: dict[str, dict[str, Any]] = report["rewrites"]
    return (
        Text(
            "An endpoint wrote reasoning (cot) and full sentences (long_answer) for known short answers. A text that "
            "does not end in, or state, the known answer is rejected, and the sample stays as it was."
        ),
        Table(
            headers=("Kind", "Status", "Pairs it fits", "Pairs chosen", "Accepted", "Rejected", "Not answered"),
            rows=tuple(
                (
                    kind,
                    Badge(entry["status"], "good" if entry["status"] == "done" else "warn"),
                    *(f"{entry[name]:,}" for name in ("fitting", "chosen", "accepted")),
                    f"{sum(entry['rejected'].values()):,}",
                    f"{sum(entry['skipped'].values()):,}",
                )
                for kind, entry in rewrites.items()
            ),
        ),
        _reasons(rewrites),
        *(_endpoint(run, report["endpoint"]) if report["endpoint"] else ()),
        *(_examples(rewrites) if report["endpoint"] else ()),
    )


def _reasons(rewrites: dict[str, dict[str, Any]]) -> Table:
    found: list[tuple[Cell, ...]] = []
    for kind, entry in rewrites.items():
        for name, tone in (("rejected", "bad"), ("skipped", "warn")):
            found += [(kind, Badge(name, tone), reason, f"{n:,}") for reason, n in entry[name].items()]  # type: ignore[arg-type]
    return Table(
        caption="Why pairs stayed as they were",
        headers=("Kind", "Outcome", "Reason", "Pairs"),
        rows=tuple(found),
        empty="Every chosen pair was rewritten, or none could be asked.",
    )


def _endpoint(run: RunFolder, endpoint: dict[str, Any]) -> tuple[Block, ...]:
    """Tokens and cost of the answers that the output rests on, and what this execution really sent."""
    cap = endpoint["max_cost"]
    items: list[tuple[str, Cell]] = [
        ("Endpoint", endpoint["host"]),
        ("Model", endpoint["model"]),
        ("Answers", f"{endpoint['answers']:,}"),
        ("Prompt tokens", f"{endpoint['prompt_tokens']:,}"),
        ("Answer tokens", f"{endpoint['completion_tokens']:,}"),
        ("Answers whose tokens are a guess", f"{endpoint['estimated']:,}"),
        ("Cost at the recipe's prices", f"{endpoint['cost']:,.4f}" + (f" of at most {cap:,.2f}" if cap else "")),
    ]
    if endpoint["stopped"]:
        items.append(("Stopped before the end", Badge(endpoint["stopped"], "warn")))
    if endpoint["failure"]:
        items.append(("Last failure", endpoint["failure"]))
    path = join(run.folder("augmentation"), "traffic.json")
    traffic = json.loads(read_bytes(path)) if exists(path) else {}
    sent = tuple((TRAFFIC.get(name, name.replace("_", " ")), f"{count:,}") for name, count in traffic.items())
    return KeyValues(tuple(items)), Details(summary="Traffic of the last execution", blocks=(KeyValues(sent),))


def _examples(rewrites: dict[str, dict[str, Any]]) -> tuple[Block, ...]:
    return (
        Table(
            caption="Rewritten answers",
            headers=("Kind", "Source", "Question", "Before", "After"),
            rows=tuple(
                (kind, one["source"], *(short(one[name]) for name in ("question", "before", "after")))
                for kind, entry in rewrites.items()
                for one in entry["examples"][:SHOWN_PER_RULE]
            ),
            empty="No answer was rewritten.",
        ),
        Table(
            caption="Rejected answers",
            headers=("Kind", "Reason", "Question", "Known answer", "Rejected text"),
            rows=tuple(
                (kind, one["reason"], *(short(one[name]) for name in ("question", "before", "after")))
                for kind, entry in rewrites.items()
                for one in entry["rejected_examples"]
            ),
            empty="No answer was rejected.",
        ),
    )
