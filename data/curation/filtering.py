"""The filtering step: measure every sample once, decide by the recipe's thresholds, show what went and why."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data.curation.decisions import RULES, Decisions, Distribution, column, decide
from data.curation.filter_report import Found, filter_report
from data.curation.measures import VERSION as MEASURES_VERSION
from data.curation.measuring import FOLDER as MEASURES
from data.curation.measuring import measure_samples
from data.curation.relevance import FOLDER as RELEVANCE
from data.curation.relevance import VERSION as RELEVANCE_VERSION
from data.curation.relevance import measure_relevance
from data.curation.strokes import FOLDER as STROKES
from data.curation.strokes import VERSION as STROKES_VERSION
from data.curation.strokes import measure_strokes
from data.errors import AerieError
from data.expectations.measured import measured_border
from data.files import join
from data.ledger import Tally
from data.progress import Progress
from data.recipe import load_data_recipe
from data.settings.filtering import FilterSettings
from data.shardwise import WORKERS, map_shards, shard_bytes, shard_table, write_shard
from data.storage import (
    MANIFEST_NAME,
    Manifest,
    Shard,
    attach,
    commit,
    committed,
    fingerprint,
    read_manifest,
    shard_payload,
)

VERSION = 3
EXAMPLES = 5
FEW_ROWS = 20_000  # are done before worker processes have started


@dataclass(frozen=True, slots=True, kw_only=True)
class Sieve:
    """What a worker needs beside the shard: the tables of measures by folder, the thresholds, where kept rows go."""

    tables: dict[str, tuple[Shard, ...]]
    settings: FilterSettings
    out_uri: str

    def __call__(self, folder: str, shard: Shard) -> tuple[Shard | None, Tally, Found]:
        """Write the rows of one shard that stay; None when none does."""
        measures = self.measures(folder, shard)
        payload = shard_payload(folder, shard, "gate")
        decisions = decide(measures, self.settings)
        kept = int(decisions.keep.sum())
        written = None
        if kept:
            # A shard that keeps all its rows is copied as it is.
            rest = payload if kept == shard.rows else _kept(payload, decisions.keep)
            written = write_shard(self.out_uri, shard.path, rest, kept)
        found = _found(shard, measures, decisions)
        found.facts.expect(shard_table(payload, ["sample_id", "source"]))
        return written, _tally(measures["source"].to_pylist(), decisions), found

    def measures(self, folder: str, shard: Shard) -> pa.Table:
        """All measures of one shard side by side; `AerieError` when a table has other rows than the samples."""
        joined = None
        for uri, shards in self.tables.items():
            entry = next((one for one in shards if one.path == shard.path), None)
            if entry is None or entry.rows != shard.rows:
                raise AerieError(f"{uri} doesn't fit {join(folder, shard.path)}; delete {uri} and run the step again")
            table = shard_table(shard_payload(uri, entry, "filtering"))
            if joined is None:
                joined = table
                continue
            for name in set(table.column_names) - set(joined.column_names):
                joined = joined.append_column(name, table[name])
        assert joined is not None
        return joined


def _kept(payload: bytes, keep: np.ndarray) -> bytes:
    return shard_bytes(shard_table(payload).filter(pa.array(keep)))


def _tally(sources: list[str], decisions: Decisions) -> Tally:
    tally = Tally("filtering")
    for (source, first), rows in Counter(zip(sources, decisions.first.tolist(), strict=True)).items():
        tally.take(source, rows)
        if first < 0:
            tally.keep(source, rows)
        else:
            tally.drop(source, RULES[first].reason, rows)
    return tally


def _found(shard: Shard, measures: pa.Table, decisions: Decisions) -> Found:
    """What the report says of one shard."""
    found = Found(rows=shard.rows)
    names = pa.array([None, *(rule.reason for rule in RULES)], pa.string())
    found.facts.see(measures.append_column("reason", names.take(pa.array(decisions.first + 1))))
    for index, rule in enumerate(RULES):
        values = column(measures, rule.measure)
        found.distributions[rule.measure] = Distribution.of(values)
        found.fired[rule.reason] += int(decisions.fired[index].sum())
        rows = np.flatnonzero(decisions.first == index)[:EXAMPLES].tolist()
        found.examples[rule.reason] = [
            (shard.path, row, tuple(decisions.reasons(row)), float(values[row])) for row in rows
        ]
    dropped = np.flatnonzero(~decisions.keep)
    found.dropped.append(
        pa.table(
            {
                "sample_id": measures["sample_id"].take(dropped),
                "source": measures["source"].take(dropped),
                "reason": pa.array([RULES[first].reason for first in decisions.first[dropped].tolist()], pa.string()),
            }
        )
    )
    return found


def filter_samples(
    recipe_uri: str, recipe_sha256: str, gate_uri: str, out_uri: str, embedding_uri: str | None = None
) -> Manifest:
    """Keep the samples that pass every rule; with embeddings, also by whether question and image belong together.

    Attachments: the manifests of the tables of measures (`measures` in OUT/measures; `relevance`, `strokes` where
    they were asked for), `dropped` (Parquet: sample_id, source, reason), `report` (JSON), and of the border `measured`
    `expectations` (JSON) and `docs` (HTML). A failed expectation doesn't raise here: the next step refuses.
    """
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    gate, settings = read_manifest(gate_uri), recipe.data.filtering
    lineage = {"gate": gate.sha256()}
    if embedding_uri is not None and settings.measure_relevance:
        lineage["embedding"] = read_manifest(embedding_uri).sha256()
    mark = fingerprint(
        step="filtering",
        version=[VERSION, MEASURES_VERSION, RELEVANCE_VERSION, STROKES_VERSION],
        settings=settings.model_dump(),
        expectations=recipe.data.expectations.model_dump(),
        seed=recipe.seed,
        inputs=lineage,
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    workers = WORKERS if gate.rows > FEW_ROWS else 1
    tables = {MEASURES: measure_samples(gate_uri, gate, out_uri, workers)}
    if embedding_uri is not None and settings.measure_relevance:
        tables[RELEVANCE] = measure_relevance(gate_uri, gate, embedding_uri, out_uri, settings, recipe.seed)
    if settings.measure_strokes:
        tables[STROKES] = measure_strokes(gate_uri, gate, out_uri, workers)
    shards_of = {join(out_uri, name): table.shards for name, table in tables.items()}
    sieve = Sieve(tables=shards_of, settings=settings, out_uri=out_uri)
    tally = Tally("filtering")
    for count in gate.counts:
        tally.take(count.source, 0)  # a source that lost all its rows earlier keeps its line in the ledger
    shards, found = _collect(map_shards(sieve, gate_uri, gate, workers), tally, gate)
    report = filter_report(gate_uri, gate, found, tally, settings)
    entries = {
        name: {"path": f"{name}/{MANIFEST_NAME}", "sha256": table.sha256()} for name, table in sorted(tables.items())
    }
    return commit(
        out_uri,
        Manifest(
            step="filtering",
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=sum(shard.rows for shard in shards),
            shards=tuple(shards),
            counts=tally.counts(),
            lineage=lineage,
            attachments={
                **entries,
                "dropped": attach(out_uri, "dropped.parquet", shard_bytes(_dropped(found))),
                "report": attach(out_uri, "report.json", json.dumps(report, indent=1).encode()),
                **measured_border(out_uri, found.facts, recipe.data.expectations),
            },
        ),
    )


def _dropped(found: Found) -> pa.Table:
    empty = pa.table({name: pa.array([], pa.string()) for name in ("sample_id", "source", "reason")})
    return pa.concat_tables([empty, *(table.cast(empty.schema) for table in found.dropped)])


def _collect(
    results: Iterable[tuple[Shard | None, Tally, Found]], tally: Tally, gate: Manifest
) -> tuple[list[Shard], Found]:
    shards, total, progress = [], Found(), Progress("filtering", gate.rows)
    for written, counted, found in results:
        shards += [written] if written is not None else []
        tally.merge(counted)
        total.merge(found, EXAMPLES)
        progress.update(found.rows)
    progress.close()
    return shards, total
