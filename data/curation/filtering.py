"""The filtering step: measure every sample once, decide by the recipe's thresholds, show what went and why."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data.curation.decisions import RULES, Decisions, Distribution, decide
from data.curation.filter_report import Found, filter_report
from data.curation.measures import VERSION as MEASURES_VERSION
from data.curation.measuring import FOLDER as MEASURES
from data.curation.measuring import measure_samples
from data.errors import AerieError
from data.files import join
from data.ledger import Tally
from data.progress import Progress
from data.recipe import load_data_recipe
from data.settings.filtering import FilterSettings
from data.shardwise import WORKERS, map_shards, shard_bytes, shard_payload, shard_table, write_shard
from data.storage import (
    MANIFEST_NAME,
    Manifest,
    Shard,
    attach,
    commit,
    committed,
    fingerprint,
    read_manifest,
)

VERSION = 2
EXAMPLES = 5
FEW_ROWS = 20_000  # are done before worker processes have started


@dataclass(frozen=True, slots=True, kw_only=True)
class Sieve:
    """What a worker needs beside the shard: where the measures are, the thresholds, where the kept rows go."""

    measures_uri: str
    measures: tuple[Shard, ...]
    settings: FilterSettings
    out_uri: str

    def __call__(self, folder: str, shard: Shard) -> tuple[Shard | None, Tally, Found]:
        """Write the rows of one shard that stay; None when none does."""
        entry = next(one for one in self.measures if one.path == shard.path)
        measures = shard_table(shard_payload(self.measures_uri, entry, MEASURES))
        payload = shard_payload(folder, shard, "gate")
        if measures.num_rows != shard.rows:
            raise AerieError(
                f"{join(self.measures_uri, entry.path)} has {measures.num_rows} rows, {join(folder, shard.path)} has "
                f"{shard.rows}; delete {self.measures_uri} and run the step again"
            )
        decisions = decide(measures, self.settings)
        kept = int(decisions.keep.sum())
        written = None
        if kept:
            # A shard that keeps all its rows is copied as it is.
            rest = payload if kept == shard.rows else _kept(payload, decisions.keep)
            written = write_shard(self.out_uri, shard.path, rest, kept)
        return written, _tally(measures["source"].to_pylist(), decisions), _found(shard, measures, decisions)


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
    for index, rule in enumerate(RULES):
        found.distributions[rule.measure] = Distribution.of(measures[rule.measure].to_numpy())
        found.fired[rule.reason] += int(decisions.fired[index].sum())
        rows = np.flatnonzero(decisions.first == index)[:EXAMPLES].tolist()
        found.examples[rule.reason] = [(shard.path, row, tuple(decisions.reasons(row))) for row in rows]
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


def filter_samples(recipe_uri: str, recipe_sha256: str, gate_uri: str, out_uri: str) -> Manifest:
    """Keep the samples that pass every rule.

    Attachments: `measures` (the manifest of the measures table in OUT/measures), `dropped` (Parquet: sample_id,
    source, reason) and `report` (JSON).
    """
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    gate, settings = read_manifest(gate_uri), recipe.data.filtering
    mark = fingerprint(
        step="filtering",
        version=[VERSION, MEASURES_VERSION],
        settings=settings.model_dump(),
        inputs=[gate.sha256()],
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    workers = WORKERS if gate.rows > FEW_ROWS else 1
    measures = measure_samples(gate_uri, gate, out_uri, workers)
    measures_uri = join(out_uri, MEASURES)
    sieve = Sieve(measures_uri=measures_uri, measures=measures.shards, settings=settings, out_uri=out_uri)
    tally = Tally("filtering")
    for count in gate.counts:
        tally.take(count.source, 0)  # a source that lost all its rows earlier keeps its line in the ledger
    shards, found = _collect(map_shards(sieve, gate_uri, gate, workers), tally, gate)
    report = filter_report(gate_uri, gate, found, tally, settings)
    entry = {"path": f"{MEASURES}/{MANIFEST_NAME}", "sha256": measures.sha256()}
    return commit(
        out_uri,
        Manifest(
            step="filtering",
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=sum(shard.rows for shard in shards),
            shards=tuple(shards),
            counts=tally.counts(),
            lineage={"gate": gate.sha256()},
            attachments={
                "measures": entry,
                "dropped": attach(out_uri, "dropped.parquet", shard_bytes(pa.concat_tables(found.dropped))),
                "report": attach(out_uri, "report.json", json.dumps(report, indent=1).encode()),
            },
        ),
    )


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
