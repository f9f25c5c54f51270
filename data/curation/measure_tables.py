"""Tables of measures beside the samples: one shard for each shard of samples, committed by a manifest of their own.

A table's fingerprint knows the samples and how they are measured, never a threshold: a new one measures nothing again.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data.ledger import Tally
from data.progress import Progress
from data.shardwise import map_shards, shard_bytes, write_shard
from data.storage import Manifest, Shard, commit, fingerprint

Measured = tuple[Shard, Tally]


def measure_mark(name: str, version: Any, lineage: Mapping[str, str]) -> str:
    """The fingerprint of a table."""
    return fingerprint(step=name, version=version, inputs=dict(lineage))


def write_measures(folder: str, name: str, shard: Shard, table: pa.Table, sources: pa.ChunkedArray) -> Measured:
    """Write the measures of one shard under the same path; every row is taken and kept."""
    tally = Tally(name)
    for entry in pc.value_counts(sources).to_pylist():
        tally.take(entry["values"], entry["counts"])
        tally.keep(entry["values"], entry["counts"])
    return write_shard(folder, shard.path, shard_bytes(table, max(table.num_rows, 1)), table.num_rows), tally


def commit_measures(
    folder: str,
    name: str,
    mark: str,
    gate_uri: str,
    gate: Manifest,
    lineage: Mapping[str, str],
    measure: Callable[[str, Shard], Measured],
    workers: int,
) -> Manifest:
    """Measure every shard of the samples and commit the table."""
    progress, tally, shards = Progress(name, gate.rows), Tally(name), []
    for shard, counted in map_shards(measure, gate_uri, gate, workers):
        shards.append(shard)
        tally.merge(counted)
        progress.update(shard.rows)
    progress.close()
    return commit(
        folder,
        Manifest(
            step=name,
            fingerprint=mark,
            recipe_sha256="",
            rows=sum(shard.rows for shard in shards),
            shards=tuple(shards),
            counts=tally.counts(),
            lineage=dict(lineage),
        ),
    )
