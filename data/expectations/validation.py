"""The validation step: decode and check every sample, keep the held-out set apart, run the suite, report."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from data.cores import usable_cores
from data.errors import AerieError
from data.expectations.border import refuse_failures, run_border
from data.expectations.canonical import SUITE, CanonicalFacts, canonical_expectations, sample_facts
from data.expectations.checks import Problem, image_hashes, structure_problem, with_hashes
from data.expectations.leakage import LeakCheck
from data.ledger import Tally
from data.progress import Progress
from data.recipe import DataRecipe, load_data_recipe
from data.registry.rows import Rejected, Split
from data.registry.sourcing import parquet_bytes, quarantine_table
from data.schema import SAMPLE_SCHEMA, Sample, samples_to_table, table_to_samples
from data.storage import (
    Manifest,
    ShardWriter,
    attach,
    commit,
    committed,
    fingerprint,
    parquet_table,
    read_attachment,
    read_manifest,
    read_tables,
)

VERSION = 3
BATCH_ROWS = 256
Hashes = tuple[str, ...] | Problem
Sources = dict[str, tuple[str, Manifest]]  # folder and manifest by name


@dataclass(slots=True)
class Inspection:
    """The state of one pass: what is kept, what is refused, and the figures for the report."""

    tally: Tally = field(default_factory=lambda: Tally("validation"))
    leaks: LeakCheck = field(default_factory=LeakCheck)
    rejected: list[tuple[str, Rejected]] = field(default_factory=list)
    heldout: list[Sample] = field(default_factory=list)
    facts: CanonicalFacts = field(default_factory=CanonicalFacts)
    seen: set[str] = field(default_factory=set)

    def examine(self, sample: Sample, split: Split, hashes: Hashes) -> Hashes:
        """The sample's pixel hashes, or its first problem; `hashes` is what is known of it alone."""
        if isinstance(hashes, Problem):
            return hashes
        if sample.sample_id in self.seen:
            return Problem(reason="duplicate_id", detail="the same images and turns appear earlier in this split")
        self.seen.add(sample.sample_id)
        if split == "train" and (shared := self.leaks.match(sample, hashes)) is not None:
            return Problem(reason="heldout_leak", detail=f"shares with the held-out set {shared}")
        return hashes

    def refuse(self, sample: Sample, split: Split, problem: Problem) -> None:
        """Quarantine; only training rows are in the ledger."""
        row = Rejected(split=split, key=sample.sample_id, reason=problem.reason, detail=problem.detail)
        self.rejected.append((sample.source, row))
        if split == "train":
            self.tally.drop(sample.source, problem.reason)


def validate_samples(recipe_uri: str, recipe_sha256: str, source_uris: list[str], out_uri: str) -> Manifest:
    """Concatenate the sources in the recipe's order and keep what is valid.

    Attachments: `quarantine`, `heldout` (valid held-out samples of all sources), `report` (JSON) and `docs`
    (HTML). A failed expectation doesn't raise here, so that its report is always written: `enforce_validation` does.
    """
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    sources = _in_recipe_order(recipe, source_uris)
    lineage = {f"sourcing/{name}": manifest.sha256() for name, (_, manifest) in sources.items()}
    mark = fingerprint(step="validation", version=VERSION, inputs=lineage, rows_per_shard=recipe.data.rows_per_shard)
    if (done := committed(out_uri, mark)) is not None:
        return done
    inspection = Inspection()
    writer = ShardWriter(out_uri, rows_per_shard=recipe.data.rows_per_shard)
    with ThreadPoolExecutor(usable_cores()) as threads:
        _hold_out(inspection, sources, threads)
        for batch in _valid_training_batches(inspection, sources, threads):
            writer.write_samples(batch)
    shards = writer.close()
    expectations, frame = canonical_expectations(list(sources)), inspection.facts.frame(list(sources))
    found, docs = run_border(SUITE, expectations, frame, "source")
    report = {**found, "checks": _checks(inspection, sources)}
    return commit(
        out_uri,
        Manifest(
            step="validation",
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=sum(shard.rows for shard in shards),
            shards=shards,
            counts=inspection.tally.counts(),
            lineage=lineage,
            attachments={
                "quarantine": attach(out_uri, "quarantine.parquet", _all_quarantined(inspection, sources)),
                "heldout": attach(out_uri, "heldout.parquet", parquet_bytes(samples_to_table(inspection.heldout))),
                "report": attach(out_uri, "report.json", json.dumps(report, indent=1, sort_keys=True).encode()),
                "docs": attach(out_uri, "docs.html", docs),
            },
        ),
    )


def enforce_validation(validation_uri: str) -> None:
    """Raise `AerieError` naming every failed critical expectation; a warning alone passes."""
    manifest = read_manifest(validation_uri)
    report = json.loads(read_attachment(validation_uri, manifest, "report"))
    refuse_failures(
        "validation",
        report,
        f"See {validation_uri}/report.json, and quarantine.parquet beside it for the refused rows",
    )


def _in_recipe_order(recipe: DataRecipe, source_uris: list[str]) -> Sources:
    """(folder, manifest) by source name; every source of the recipe exactly once."""
    found: Sources = {}
    for uri in source_uris:
        manifest = read_manifest(uri)
        for name in {count.source for count in manifest.counts}:
            if name in found:
                raise AerieError(f"source {name!r} comes twice: {found[name][0]} and {uri}")
            found[name] = (uri, manifest)
    wanted = [use.name for use in recipe.data.sources]
    if set(found) != set(wanted):
        raise AerieError(f"validation got the sources {sorted(found)}, the recipe lists {sorted(wanted)}")
    return {name: found[name] for name in wanted}


def _attached_table(folder: str, manifest: Manifest, name: str) -> pa.Table:
    return parquet_table(read_attachment(folder, manifest, name))


def _decoded(samples: Sequence[Sample], threads: Executor) -> Iterator[tuple[Sample, Hashes]]:
    """Each sample with its pixel hashes or problem; pictures are decoded side by side, which Pillow lets threads do."""
    return zip(samples, threads.map(_hashes, samples), strict=True)


def _hashes(sample: Sample) -> Hashes:
    return structure_problem(sample) or image_hashes(sample)


def _hold_out(inspection: Inspection, sources: Sources, threads: Executor) -> None:
    """Check the held-out samples and remember what training must not contain."""
    for folder, manifest in sources.values():
        samples = table_to_samples(_attached_table(folder, manifest, "heldout").cast(SAMPLE_SCHEMA))
        for sample, decoded in _decoded(samples, threads):
            hashes = inspection.examine(sample, "heldout", decoded)
            if isinstance(hashes, Problem):
                inspection.refuse(sample, "heldout", hashes)
            else:
                inspection.heldout.append(with_hashes(sample, hashes))
                inspection.leaks.hold_out(sample, hashes)
    inspection.seen.clear()  # an id in both splits is a leak, not a duplicate


def _valid_training_batches(inspection: Inspection, sources: Sources, threads: Executor) -> Iterator[list[Sample]]:
    progress = Progress("validation", sum(manifest.rows for _, manifest in sources.values()))
    for name, (folder, manifest) in sources.items():
        inspection.tally.take(name, manifest.rows)
        for table in read_tables(folder, manifest):
            for start in range(0, table.num_rows, BATCH_ROWS):
                kept = []
                for sample, decoded in _decoded(table_to_samples(table.slice(start, BATCH_ROWS)), threads):
                    progress.update()
                    outcome = inspection.examine(sample, "train", decoded)
                    if isinstance(outcome, Problem):
                        inspection.refuse(sample, "train", outcome)
                    else:
                        inspection.tally.keep(name)
                        kept.append(with_hashes(sample, outcome))
                inspection.facts.see([sample_facts(sample) for sample in kept])
                yield kept
    progress.close()


def _all_quarantined(inspection: Inspection, sources: Sources) -> bytes:
    """The rows that sourcing refused, then those refused here: one table for whoever mends the data."""
    earlier = [_attached_table(folder, manifest, "quarantine") for folder, manifest in sources.values()]
    return parquet_bytes(pa.concat_tables([*earlier, quarantine_table(inspection.rejected)]))


def _checks(inspection: Inspection, sources: Sources) -> dict[str, Any]:
    heldout = Counter(sample.source for sample in inspection.heldout)
    refused: dict[str, Counter[str]] = {name: Counter() for name in sources}
    for name, row in inspection.rejected:
        refused[name][f"{row.split}/{row.reason}"] += 1
    return {
        "heldout_leak": inspection.leaks.report(),
        "rows": {name: {"train": inspection.facts.rows(name), "heldout": heldout[name]} for name in sources},
        "refused_here": {name: dict(sorted(counts.items())) for name, counts in refused.items()},
        "refused_at_sourcing": {name: _refused_before(manifest) for name, (_, manifest) in sources.items()},
    }


def _refused_before(manifest: Manifest) -> dict[str, int]:
    return {reason: rows for count in manifest.counts for reason, rows in count.dropped.items()}
