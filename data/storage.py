"""Local or s3:// files, Parquet shards, and the manifest that commits a step's output.

A step writes shards first and its manifest last; whoever reads starts at the manifest, so nothing
half-written is ever read. Shard paths in a manifest are relative: equal content gives equal manifests anywhere.
"""

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import AerieError
from data.files import exists, join, read_bytes, write_bytes
from data.ledger import StepCount, check_closed
from data.schema import SAMPLE_SCHEMA, Sample, samples_to_table, table_to_samples

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 1
ROW_GROUP_ROWS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One Parquet file of a manifest; `path` is relative to the manifest's folder."""

    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The small artifact that KFP and DVC pass instead of data.

    `lineage` maps an input's name to its manifest's hash; `fingerprint` is the hash of all that determines the
    output (step, recipe section, inputs): a step that finds its own fingerprint committed has nothing to do.
    `attachments` maps a name (`quarantine`, `heldout`, `report`) to {path, sha256} of a committed side file.
    """

    step: str
    fingerprint: str
    recipe_sha256: str
    rows: int
    shards: tuple[Shard, ...]
    counts: tuple[StepCount, ...] = ()
    lineage: dict[str, str] = field(default_factory=dict)
    attachments: dict[str, dict[str, str]] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """Canonical JSON: equal manifests give equal text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, indent=1)

    def sha256(self) -> str:
        """The manifest's identity, used in lineage and as KFP cache key."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def fingerprint(**parts: Any) -> str:
    """Hash of everything that determines an output; values must be JSON-serialisable."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def manifest_uri(folder: str) -> str:
    """Where a step's folder keeps its manifest."""
    return join(folder, MANIFEST_NAME)


def read_manifest(folder: str) -> Manifest:
    """The committed manifest of a folder; `AerieError` when the step has not finished or the file is damaged."""
    uri = manifest_uri(folder)
    if not exists(uri):
        raise AerieError(f"no manifest at {uri}: the step that writes it has not finished; run it first")
    return manifest_from(read_bytes(uri), uri)


def manifest_from(payload: bytes, uri: str) -> Manifest:
    """A manifest from its file's content; `AerieError` names the file, `uri`, when it is damaged."""
    try:
        document = json.loads(payload)
        document["shards"] = tuple(Shard(**shard) for shard in document["shards"])
        document["counts"] = tuple(StepCount(**count) for count in document["counts"])
        manifest = Manifest(**document)
    except (ValueError, KeyError, TypeError) as error:
        raise AerieError(f"manifest {uri} is damaged ({error}); delete it and run its step again") from error
    if manifest.schema_version != SCHEMA_VERSION:
        raise AerieError(f"manifest {uri} has schema version {manifest.schema_version}, expected {SCHEMA_VERSION}")
    return manifest


def committed(folder: str, expected_fingerprint: str) -> Manifest | None:
    """The manifest of a finished identical step, or None when there is work to do."""
    if not exists(manifest_uri(folder)):
        return None
    manifest = read_manifest(folder)
    return manifest if manifest.fingerprint == expected_fingerprint else None


class ShardWriter:
    """Writes tables as Parquet shards of at most `rows_per_shard` rows, in order, under `folder`."""

    def __init__(self, folder: str, schema: pa.Schema = SAMPLE_SCHEMA, rows_per_shard: int = 2048) -> None:
        self.folder, self.schema, self.rows_per_shard = folder, schema, rows_per_shard
        self.shards: list[Shard] = []
        self._pending: list[pa.Table] = []
        self._pending_rows = 0

    def write_samples(self, samples: list[Sample]) -> None:
        """Append samples (schema must be `SAMPLE_SCHEMA`)."""
        self.write_table(samples_to_table(samples))

    def write_table(self, table: pa.Table) -> None:
        """Append rows; full shards are written at once."""
        self._pending.append(table.cast(self.schema))
        self._pending_rows += table.num_rows
        while self._pending_rows >= self.rows_per_shard:
            self._flush(self.rows_per_shard)

    def close(self) -> tuple[Shard, ...]:
        """Write what is left and return every shard."""
        if self._pending_rows:
            self._flush(self._pending_rows)
        return tuple(self.shards)

    def _flush(self, rows: int) -> None:
        table = pa.concat_tables(self._pending)
        head, rest = table.slice(0, rows), table.slice(rows)
        self._pending, self._pending_rows = [rest], rest.num_rows
        sink = io.BytesIO()
        pq.write_table(head, sink, compression="zstd", row_group_size=ROW_GROUP_ROWS)
        payload = sink.getvalue()
        path = f"shard-{len(self.shards):05d}.parquet"
        write_bytes(join(self.folder, path), payload)
        self.shards.append(Shard(path=path, rows=rows, bytes=len(payload), sha256=hashlib.sha256(payload).hexdigest()))


def attach(folder: str, path: str, payload: bytes) -> dict[str, str]:
    """Write a side file of a step and return its attachment entry."""
    write_bytes(join(folder, path), payload)
    return {"path": path, "sha256": hashlib.sha256(payload).hexdigest()}


def read_attachment(folder: str, manifest: Manifest, name: str) -> bytes:
    """A side file's bytes, checked against the hash in the manifest."""
    if name not in manifest.attachments:
        raise AerieError(f"manifest in {folder} has no attachment {name!r}; it has {sorted(manifest.attachments)}")
    entry = manifest.attachments[name]
    payload = read_bytes(join(folder, entry["path"]))
    if hashlib.sha256(payload).hexdigest() != entry["sha256"]:
        raise AerieError(f"{join(folder, entry['path'])} differs from its manifest; run step {manifest.step!r} again")
    return payload


def commit(folder: str, manifest: Manifest) -> Manifest:
    """Check that the ledger closes and write the manifest: from here on the step is done."""
    check_closed(manifest.step, manifest.counts)
    write_bytes(manifest_uri(folder), manifest.to_json().encode())
    return manifest


def parquet_table(payload: bytes, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file in memory as a table.

    Read in the calling thread: with pyarrow's own threads (and its read-ahead) a process that exits soon after
    now and then aborts, "terminate called without an active exception" (https://github.com/apache/arrow/issues/34314).
    """
    return pq.read_table(pa.BufferReader(payload), columns=columns, use_threads=False, pre_buffer=False)


def shard_payload(folder: str, shard: Shard, step: str) -> bytes:
    """A shard's bytes, checked; `AerieError` names a shard that is missing or changed."""
    uri = join(folder, shard.path)
    if not exists(uri):
        raise AerieError(f"shard {uri} is missing; run step {step!r} again")
    payload = read_bytes(uri)
    if hashlib.sha256(payload).hexdigest() != shard.sha256:
        raise AerieError(
            f"shard {uri} is truncated or changed ({len(payload)} bytes, manifest says {shard.bytes}); "
            f"run step {step!r} again"
        )
    return payload


def read_tables(folder: str, manifest: Manifest, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The shards' tables in order; a missing, truncated or changed shard raises `AerieError` that names it."""
    for shard in manifest.shards:
        yield parquet_table(shard_payload(folder, shard, manifest.step), columns)


def read_samples(folder: str, manifest: Manifest | None = None) -> Iterator[Sample]:
    """All samples of a committed folder in order."""
    for table in read_tables(folder, manifest or read_manifest(folder)):
        yield from table_to_samples(table)


def write_samples(folder: str, samples: Iterable[Sample], rows_per_shard: int = 2048) -> tuple[Shard, ...]:
    """Write samples as shards (no manifest yet)."""
    writer = ShardWriter(folder, rows_per_shard=rows_per_shard)
    batch: list[Sample] = []
    for sample in samples:
        batch.append(sample)
        if len(batch) >= ROW_GROUP_ROWS:
            writer.write_samples(batch)
            batch = []
    writer.write_samples(batch)
    return writer.close()
