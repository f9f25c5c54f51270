"""The filtering step: measure every sample once, decide by the recipe's thresholds, show what went and why."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from data.curation.measures import MEASURES_SCHEMA, Measures, measure, measures_bytes, measures_from
from data.curation.measures import VERSION as MEASURES_VERSION
from data.errors import AerieError
from data.expectations.measured import MeasuredFacts, measured_border
from data.files import exists, join, read_bytes, write_bytes
from data.ledger import Tally
from data.progress import Progress
from data.recipe import load_data_recipe
from data.schema import Sample
from data.settings.filtering import FilterSettings
from data.storage import (
    Manifest,
    ShardWriter,
    attach,
    commit,
    committed,
    fingerprint,
    read_manifest,
    read_samples,
    read_tables,
)

VERSION = 2
MEASURES_FILE, MEASURES_MARK = "measures.parquet", "measures.json"
EXAMPLES, SNIPPET_CHARS = 5, 300

Rule = tuple[str, str, Callable[[Measures, FilterSettings], bool]]
# (reason, measure, is it a reason to drop?), in the order in which they are asked; the first that fits is the reason.
RULES: tuple[Rule, ...] = (
    ("empty_turn", "empty_turns", lambda m, s: m.empty_turns > 0),
    ("placeholder_leak", "placeholder_leaks", lambda m, s: m.placeholder_leaks > 0),
    ("refusal", "refusals", lambda m, s: m.refusals > 0),
    ("template_residue", "template_residues", lambda m, s: m.template_residues > 0),
    ("answer_too_long", "answer_chars", lambda m, s: m.answer_chars > s.max_answer_chars),
    ("repeated_text", "repeated_ngram_ratio", lambda m, s: m.repeated_ngram_ratio > s.max_repeated_ngram_ratio),
    ("repeated_turns", "repeated_turn_ratio", lambda m, s: m.repeated_turn_ratio > s.max_repeated_turn_ratio),
    ("unsupported_precision", "unsupported_decimals", lambda m, s: m.unsupported_decimals > s.max_unsupported_decimals),
    ("mismatched_answer", "mismatched_turns", lambda m, s: m.mismatched_turns > s.max_mismatched_turns),
    ("irrelevant_image", "relevance", lambda m, s: m.relevance < s.min_image_text_relevance),
)
MEASURE_OF = {reason: name for reason, name, _ in RULES}


def decide(measures: Measures, settings: FilterSettings) -> tuple[bool, str]:
    """(keep, reason); the reason is "" for a sample that stays. Pure, no text is looked at."""
    for reason, _, applies in RULES:
        if applies(measures, settings):
            return False, reason
    return True, ""


def measured(gate_uri: str, gate: Manifest, out_uri: str) -> tuple[list[Measures], dict[str, str]]:
    """Every sample's measures with their attachment entry; read back when the same samples were measured before."""
    mark = fingerprint(version=MEASURES_VERSION, inputs=[gate.sha256()])
    known = _measured_before(out_uri, mark)
    if known is not None:
        return known
    progress = Progress("measuring", gate.rows)
    rows = []
    for sample in read_samples(gate_uri, gate):
        rows.append(measure(sample))
        progress.update()
    progress.close()
    entry = attach(out_uri, MEASURES_FILE, measures_bytes(rows))
    write_bytes(join(out_uri, MEASURES_MARK), json.dumps({"fingerprint": mark, **entry}, indent=1).encode())
    return rows, entry


def _measured_before(out_uri: str, mark: str) -> tuple[list[Measures], dict[str, str]] | None:
    """What an earlier run left, if it is whole; the mark is written after the file, so it vouches for it."""
    files = [join(out_uri, MEASURES_MARK), join(out_uri, MEASURES_FILE)]
    if not all(map(exists, files)):
        return None
    try:
        document = json.loads(read_bytes(files[0]))
        payload = read_bytes(files[1])
        fits = document["fingerprint"] == mark and document["sha256"] == hashlib.sha256(payload).hexdigest()
    except (ValueError, KeyError, TypeError):
        return None
    return (measures_from(payload), {"path": MEASURES_FILE, "sha256": document["sha256"]}) if fits else None


def snippet(sample: Sample) -> str:
    """The conversation in one short text."""
    text = "\n".join(f"{turn.role}: {turn.content}" for turn in sample.conversations)
    return text if len(text) <= SNIPPET_CHARS else text[: SNIPPET_CHARS - 1] + "…"


def describe(measures: Measures, reason: str) -> str:
    """What was found, in words where the measure has them, else its value."""
    name = MEASURE_OF[reason]
    return json.loads(measures.details).get(name) or f"{name} = {getattr(measures, name):.4g}"


def filter_report(
    gate_uri: str, gate: Manifest, rows: list[Measures], reasons: list[str], settings: FilterSettings
) -> dict[str, Any]:
    """Counts and the first examples of each reason."""
    by_reason: defaultdict[str, list[int]] = defaultdict(list)
    for row, reason in enumerate(reasons):
        if reason:
            by_reason[reason].append(row)
    shown = {row for chosen in by_reason.values() for row in chosen[:EXAMPLES]}
    texts = _snippets(gate_uri, gate, shown)
    return {
        "reasons": {
            reason: {
                "count": len(by_reason[reason]),
                "examples": [
                    {
                        "sample_id": rows[row].sample_id,
                        "source": rows[row].source,
                        "before": texts[row],
                        "detail": describe(rows[row], reason),
                    }
                    for row in by_reason[reason][:EXAMPLES]
                ],
            }
            for reason in MEASURE_OF
            if reason in by_reason
        },
        "measured_rows": len(rows),
        "thresholds": settings.model_dump(),
    }


def _snippets(gate_uri: str, gate: Manifest, rows: set[int]) -> dict[int, str]:
    """The texts of a few rows, found by row number."""
    if not rows:
        return {}
    return {row: snippet(sample) for row, sample in enumerate(read_samples(gate_uri, gate)) if row in rows}


def _kept(gate_uri: str, gate: Manifest, reasons: list[str], facts: MeasuredFacts) -> Iterator[pa.Table]:
    start = 0
    for table in read_tables(gate_uri, gate):
        facts.expect(table)
        yield table.filter(pa.array([not reason for reason in reasons[start : start + table.num_rows]], pa.bool_()))
        start += table.num_rows


def filter_samples(recipe_uri: str, recipe_sha256: str, gate_uri: str, out_uri: str) -> Manifest:
    """Keep the samples that pass every rule.

    Attachments: `measures` (Parquet), `report` (JSON), and of the border `measured` `expectations` (JSON) and `docs`
    (HTML). A failed expectation doesn't raise here, so that its report is always written: the next step refuses.
    """
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    gate, settings = read_manifest(gate_uri), recipe.data.filtering
    mark = fingerprint(
        step="filtering",
        version=[VERSION, MEASURES_VERSION],
        settings=settings.model_dump(),
        expectations=recipe.data.expectations.model_dump(),
        rows_per_shard=recipe.data.rows_per_shard,
        inputs=[gate.sha256()],
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    rows, entry = measured(gate_uri, gate, out_uri)
    if len(rows) != gate.rows:
        raise AerieError(f"{join(out_uri, MEASURES_FILE)} has {len(rows)} rows, {gate_uri} has {gate.rows}; delete it")
    reasons = [decide(row, settings)[1] for row in rows]
    tally = Tally("filtering")
    for count in gate.counts:
        tally.take(count.source, 0)  # a source that lost all its rows earlier keeps its line in the ledger
    for row, reason in zip(rows, reasons, strict=True):
        tally.take(row.source)
        if reason:
            tally.drop(row.source, reason)
        else:
            tally.keep(row.source)
    facts = MeasuredFacts(reasons=frozenset(MEASURE_OF))
    judged = [{**asdict(row), "reason": reason} for row, reason in zip(rows, reasons, strict=True)]
    facts.see(pa.Table.from_pylist(judged, schema=MEASURES_SCHEMA.append(pa.field("reason", pa.string()))))
    writer = ShardWriter(out_uri, rows_per_shard=recipe.data.rows_per_shard)
    for table in _kept(gate_uri, gate, reasons, facts):
        writer.write_table(table)
    shards = writer.close()
    report = filter_report(gate_uri, gate, rows, reasons, settings)
    return commit(
        out_uri,
        Manifest(
            step="filtering",
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=sum(shard.rows for shard in shards),
            shards=shards,
            counts=tally.counts(),
            lineage={"gate": gate.sha256()},
            attachments={
                "measures": entry,
                "report": attach(out_uri, "report.json", json.dumps(report, indent=1).encode()),
                **measured_border(out_uri, facts, recipe.data.expectations),
            },
        ),
    )
