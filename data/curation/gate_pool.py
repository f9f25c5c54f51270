"""The gate's existing pool: rows of an earlier dataset version, with vectors of the same encoders."""

import json
from dataclasses import dataclass

import numpy as np

from data.curation.vectors import Embeddings, read_embeddings
from data.errors import AerieError
from data.settings.gate import GateSettings
from data.storage import Manifest, read_attachment, read_manifest, read_tables


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingPool:
    """Rows that new sources are compared with before all others; `rows` int64 are those of `embeddings` that count."""

    embeddings: Embeddings
    rows: np.ndarray
    uri: str

    def without(self, sources: set[str]) -> "ExistingPool":
        """The pool without rows of these sources: a new version of a source isn't compared with its old one."""
        names = self.embeddings.sources
        kept = np.array([row for row in self.rows.tolist() if names[row] not in sources], np.int64)
        return ExistingPool(embeddings=self.embeddings, rows=kept, uri=self.uri)


def pool_identity(settings: GateSettings) -> list[str]:
    """Hashes of what the pool is made of, for the fingerprint."""
    return [read_manifest(uri).sha256() for uri in (settings.pool, settings.pool_rows) if uri]


def existing_pool(settings: GateSettings, embedding_uri: str, embedded: Manifest) -> ExistingPool | None:
    """The recipe's pool, or None; `AerieError` when its vectors can't be compared with this run's."""
    if settings.pool is None:
        return None
    manifest = read_manifest(settings.pool)
    theirs, ours = (_encoders(settings.pool, manifest), _encoders(embedding_uri, embedded))
    if theirs != ours:
        differing = sorted(key for key in {*theirs, *ours} if theirs.get(key) != ours.get(key))
        raise AerieError(
            f"data.gate.pool: {settings.pool} was embedded otherwise than this run ({', '.join(differing)} differ); "
            "embed that version again with this recipe's encoders"
        )
    embeddings = read_embeddings(settings.pool, manifest)
    rows = np.arange(len(embeddings.sample_ids))
    if settings.pool_rows is not None:
        later = read_manifest(settings.pool_rows)
        ids = {key for table in read_tables(settings.pool_rows, later, ["sample_id"]) for key in table[0].to_pylist()}
        rows = np.array([row for row, key in enumerate(embeddings.sample_ids) if key in ids], np.int64)
        if not len(rows):
            raise AerieError(f"data.gate.pool_rows: no row of {settings.pool_rows} is embedded in {settings.pool}")
    return ExistingPool(embeddings=embeddings, rows=rows, uri=settings.pool)


def _encoders(folder: str, manifest: Manifest) -> dict[str, str]:
    if "encoders" not in manifest.attachments:
        raise AerieError(f"{folder} doesn't say by which encoders it was made; run its embedding step again")
    document: dict[str, str] = json.loads(read_attachment(folder, manifest, "encoders"))
    return document
