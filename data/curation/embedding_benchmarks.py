"""What training must not contain: the held-out set and the recipe's benchmark sets, read and embedded."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from data.errors import AerieError
from data.files import exists, join, read_bytes
from data.folders import files_below
from data.recipe import DataRecipe
from data.schema import SAMPLE_SCHEMA
from data.storage import Manifest, manifest_uri, parquet_table, read_attachment, read_manifest, read_tables

HELDOUT = "heldout"
FOLDER = "benchmarks"  # below the embedding step's own


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSet:
    """`tables` reads the samples (`SAMPLE_SCHEMA`), one file at a time; `identity` is a hash of them."""

    name: str
    identity: str
    tables: Callable[[], Iterator[pa.Table]]


def benchmark_sets(recipe: DataRecipe, validation_uri: str, validated: Manifest) -> list[BenchmarkSet]:
    """The held-out set first, then the recipe's in its order; none when decontamination is off."""
    if recipe.data.gate.decontaminate == "none":
        return []
    sets = [_heldout(validation_uri, validated)] if HELDOUT in validated.attachments else []
    sets += [_benchmark(uri) for uri in recipe.data.gate.benchmarks]
    names = [found.name for found in sets]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise AerieError(f"data.gate.benchmarks: the names {repeated} (last parts of the paths) occur more than once")
    return sets


def _heldout(folder: str, manifest: Manifest) -> BenchmarkSet:
    def tables() -> Iterator[pa.Table]:
        yield _samples(parquet_table(read_attachment(folder, manifest, HELDOUT)), folder)

    return BenchmarkSet(name=HELDOUT, identity=manifest.attachments[HELDOUT]["sha256"], tables=tables)


def _benchmark(uri: str) -> BenchmarkSet:
    """A set by its address: FILE.parquet, a step's folder, or a folder of Parquet files."""
    name = uri.rstrip("/").rpartition("/")[2].removesuffix(".parquet")
    if not uri.endswith(".parquet") and exists(manifest_uri(uri)):
        manifest = read_manifest(uri)
        return BenchmarkSet(
            name=name,
            identity=manifest.sha256(),
            tables=lambda: (_samples(table, uri) for table in read_tables(uri, manifest)),
        )
    if uri.endswith(".parquet"):
        files = [uri] if exists(uri) else []
    else:
        files = [join(uri, file) for file in files_below(uri) if file.endswith(".parquet")]
    if not files:
        raise AerieError(
            f"data.gate.benchmarks: nothing at {uri}; expected FILE.parquet, a folder of Parquet files, or a "
            f"finished step's folder, with the columns {SAMPLE_SCHEMA.names}"
        )
    hashes = [hashlib.sha256(read_bytes(file)).hexdigest() for file in files]

    def tables() -> Iterator[pa.Table]:
        for file, expected in zip(files, hashes, strict=True):
            payload = read_bytes(file)
            if hashlib.sha256(payload).hexdigest() != expected:
                raise AerieError(f"{file} changed while it was read; run the step again")
            yield _samples(_parsed(payload, file), file)

    return BenchmarkSet(name=name, identity=hashlib.sha256("".join(hashes).encode()).hexdigest(), tables=tables)


def _parsed(payload: bytes, file: str) -> pa.Table:
    try:
        return parquet_table(payload)
    except (pa.ArrowException, OSError) as error:
        raise AerieError(f"{file} is no readable Parquet file: {error}") from error


def _samples(table: pa.Table, where: str) -> pa.Table:
    try:
        return table.select(SAMPLE_SCHEMA.names).cast(SAMPLE_SCHEMA)
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise AerieError(f"{where} holds no samples: {error}; expected the columns {SAMPLE_SCHEMA.names}") from error
