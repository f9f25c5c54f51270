"""The embedding step: every sample's pictures and first question as unit vectors."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import pyarrow as pa

from data.curation.ahead import in_order, one_ahead
from data.curation.embedder import Chunk, Embedder
from data.curation.embedding_benchmarks import FOLDER, BenchmarkSet, benchmark_sets
from data.curation.encoders import EncoderFiles, encoder_files, image_encoder, text_encoder
from data.curation.vectors import embedding_schema, embedding_table
from data.files import join
from data.ledger import Tally
from data.progress import Progress
from data.recipe import load_data_recipe
from data.schema import Sample, table_to_samples
from data.settings.embedding import EmbeddingSettings
from data.storage import (
    Manifest,
    Shard,
    ShardWriter,
    attach,
    commit,
    committed,
    fingerprint,
    parquet_table,
    read_manifest,
    shard_payload,
)

VERSION = 3
# Batches change the speed only; where weights lie doesn't matter, for their hash is in the fingerprint.
NOT_THE_VECTORS = {"batch_size", "image_encoder", "text_encoder"}
CHUNK_ROWS = 512  # samples whose pictures are in memory at once
GPU_CHUNK_ROWS = 4096  # there each chunk's first batch leaves the network waiting
GPU_SHARDS = 3  # read, checked and unpacked at once: that takes a thread 0.25 ms a sample
BENCHMARK_ROWS_PER_SHARD = 65_536  # a held-out set of usual size is one shard, whatever the recipe's shards


class EmbeddingWriter:
    """Writes samples as tables of vectors."""

    def __init__(self, embed: Embedder, dtype: str, rows_per_shard: int) -> None:
        self._embed, self._dtype, self._rows_per_shard = embed, dtype, rows_per_shard
        self.on_gpu = embed.on_gpu

    def samples(
        self, samples: Iterable[Sample], folder: str, rows: int | None, name: str = "embedding"
    ) -> tuple[Shard, ...]:
        """The shards of these samples, in their order; `rows` says how many there are, if that is known."""
        progress = Progress(name, rows)
        rows_per_shard = BENCHMARK_ROWS_PER_SHARD if name == FOLDER else self._rows_per_shard
        writer = ShardWriter(folder, embedding_schema(*self._embed.widths, self._dtype), rows_per_shard)
        rows_at_once = GPU_CHUNK_ROWS if self.on_gpu else CHUNK_ROWS
        for chunk in one_ahead(Chunk.of(part) for part in chunks(iter(samples), rows_at_once)):
            writer.write_table(embedding_table(self._embed(chunk), self._dtype))
            progress.update(len(chunk.samples))
        progress.close()
        return writer.close()

    def close(self) -> None:
        """End the threads or processes that decode pictures."""
        self._embed.close()

    def benchmarks(self, sets: list[BenchmarkSet], folder: str, mark: str, recipe_sha256: str) -> dict[str, str]:
        """Write and commit the table of all sets; the attachment entry of its manifest."""
        manifest = Manifest(
            step=f"embedding/{FOLDER}",
            fingerprint=mark,
            recipe_sha256=recipe_sha256,
            rows=0,
            shards=self.samples(_of_sets(sets), folder, None, FOLDER),
            lineage={found.name: found.identity for found in sets},
        )
        manifest = commit(folder, replace(manifest, rows=sum(shard.rows for shard in manifest.shards)))
        return {"path": f"{FOLDER}/manifest.json", "sha256": manifest.sha256()}


def _of_sets(sets: list[BenchmarkSet]) -> Iterator[Sample]:
    for found in sets:
        for table in found.tables():
            for start in range(0, table.num_rows, CHUNK_ROWS):
                yield from (
                    replace(sample, source=found.name) for sample in table_to_samples(table.slice(start, CHUNK_ROWS))
                )


def chunks(samples: Iterator[Sample], rows: int) -> Iterator[list[Sample]]:
    """Lists of at most `rows` samples."""
    while chunk := list(islice(samples, rows)):
        yield chunk


def embedder(settings: EmbeddingSettings, images: EncoderFiles, texts: EncoderFiles) -> Embedder:
    """The encoders that a recipe names, from their files."""
    return Embedder(
        image_encoder(images, settings.image_size, settings.batch_size),
        text_encoder(texts, settings.max_text_tokens, settings.batch_size),
    )


def embed_samples(recipe_uri: str, recipe_sha256: str, validation_uri: str, out_uri: str) -> Manifest:
    """Embed every validated sample; shards hold `embedding_schema` rows in the order of the samples.

    Attachments: `encoders` (JSON: what determines the vectors) and `benchmarks`, the manifest of a second table of the
    same form in the folder benchmarks/: held-out samples and benchmark sets, `source` being the set's name.
    """
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    settings = recipe.data.embedding
    validated = read_manifest(validation_uri)
    weights = encoder_files(settings.image_encoder), encoder_files(settings.text_encoder)
    sets = benchmark_sets(recipe, validation_uri, validated)
    mark = fingerprint(
        step="embedding",
        version=VERSION,
        settings=settings.model_dump(exclude=NOT_THE_VECTORS),
        weights=[files.identity for files in weights],
        rows_per_shard=recipe.data.rows_per_shard,
        inputs=[validated.sha256()],
        benchmarks=[(found.name, found.identity) for found in sets],
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    write = EmbeddingWriter(embedder(settings, *weights), settings.vector_dtype, recipe.data.rows_per_shard)
    tally = Tally("embedding")
    for count in validated.counts:
        tally.take(count.source, 0)  # a source that lost all its rows earlier keeps its line in the ledger
    attachments = {"encoders": attach(out_uri, "encoders.json", _encoders(settings, weights))}
    if sets:
        attachments[FOLDER] = write.benchmarks(sets, join(out_uri, FOLDER), mark, recipe.sha256)
    samples = _samples(validation_uri, validated, GPU_SHARDS if write.on_gpu else 1)
    shards = write.samples(_counted(samples, tally), out_uri, validated.rows)
    write.close()
    return commit(
        out_uri,
        Manifest(
            step="embedding",
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=sum(shard.rows for shard in shards),
            shards=shards,
            counts=tally.counts(),
            lineage={"validation": validated.sha256()},
            attachments=attachments,
        ),
    )


def _samples(folder: str, manifest: Manifest, threads: int) -> Iterator[Sample]:
    """All samples in order."""

    def table(shard: Shard) -> pa.Table:
        return parquet_table(shard_payload(folder, shard, manifest.step))

    for found in in_order(table, manifest.shards, threads):
        yield from table_to_samples(found)


def _counted(samples: Iterator[Sample], tally: Tally) -> Iterator[Sample]:
    for sample in samples:
        tally.take(sample.source)
        tally.keep(sample.source)
        yield sample


def _encoders(settings: EmbeddingSettings, weights: tuple[EncoderFiles, EncoderFiles]) -> bytes:
    """What must agree before vectors of two runs are compared."""
    document = {
        "image": weights[0].identity,
        "text": weights[1].identity,
        "image_size": settings.image_size,
        "max_text_tokens": settings.max_text_tokens,
    }
    return json.dumps(document, indent=1, sort_keys=True).encode()
