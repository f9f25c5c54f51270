"""The embedding step: every sample's pictures and first question as unit vectors, each distinct one encoded once."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from data.curation.encoder_parts import normalised
from data.curation.encoders import (
    EncoderFiles,
    ImageEncoder,
    TextEncoder,
    encoder_files,
    image_encoder,
    text_encoder,
)
from data.curation.vectors import Embeddings, embedding_schema, embedding_table
from data.errors import AerieError
from data.files import read_bytes
from data.images import ImageProblemError, decode_image, pixel_hash
from data.ledger import Tally
from data.progress import Progress
from data.recipe import load_data_recipe
from data.schema import ImageRef, Sample, first_question
from data.settings.embedding import EmbeddingSettings
from data.storage import Manifest, ShardWriter, commit, committed, fingerprint, read_manifest, read_samples

VERSION = 2
# Batches change the speed only; where weights lie doesn't matter, for their hash is in the fingerprint.
NOT_THE_VECTORS = {"batch_size", "image_encoder", "text_encoder"}
CHUNK_ROWS = 512  # samples whose pictures are in memory at once
CACHE_ENTRIES = 50_000  # about 250 MB of image vectors
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Picture:
    """What the step knows of one distinct image file."""

    pixels: str
    vector: np.ndarray


class Cache(Generic[Value]):
    """Keeps the latest `CACHE_ENTRIES` values; `fill` computes all missing keys of a chunk in one call."""

    def __init__(self, compute: Callable[[list[str]], Sequence[Value]]) -> None:
        self._compute, self._values = compute, OrderedDict[str, Value]()

    def fill(self, keys: Iterable[str]) -> dict[str, Value]:
        """Values of the keys, each computed at most once."""
        wanted = list(dict.fromkeys(keys))
        missing = [key for key in wanted if key not in self._values]
        if missing:
            self._values.update(zip(missing, self._compute(missing), strict=True))
        chosen = {key: self._values[key] for key in wanted}
        while len(self._values) > CACHE_ENTRIES:
            self._values.popitem(last=False)
        return chosen


def decoded(image: ImageRef, sample_id: str) -> Image.Image:
    """The picture of a validated sample; `AerieError` names a sample whose image can't be read after all."""
    try:
        return decode_image(image.bytes if image.bytes is not None else read_bytes(image.path or ""))
    except ImageProblemError as problem:
        raise AerieError(f"image {image.path} of sample {sample_id} is unusable ({problem}); validate it") from problem


class Embedder:
    """Samples in, `Embeddings` out; equal texts and equal image files are encoded once."""

    def __init__(self, images: ImageEncoder, texts: TextEncoder) -> None:
        self._images, self._texts = images, texts
        self._text_cache: Cache[np.ndarray] = Cache(lambda keys: list(texts.embed_texts(keys)))
        self._picture_cache: Cache[Picture] = Cache(self._encode)
        self._files: dict[str, tuple[ImageRef, str]] = {}
        self.widths = (images.width, texts.width)

    def __call__(self, samples: Sequence[Sample]) -> Embeddings:
        """One chunk of samples; memory is bounded by the chunk and the caches."""
        hashes = [[image.content_hash() for image in sample.images] for sample in samples]
        self._files = {
            key: (image, sample.sample_id)
            for sample, keys in zip(samples, hashes, strict=True)
            for key, image in zip(keys, sample.images, strict=True)
        }
        pictures = self._picture_cache.fill(key for keys in hashes for key in keys)
        questions = [first_question(sample) for sample in samples]
        vectors = self._text_cache.fill(questions)
        return Embeddings(
            sample_ids=[sample.sample_id for sample in samples],
            sources=[sample.source for sample in samples],
            categories=[sample.category for sample in samples],
            pictures=["+".join(pictures[key].pixels for key in keys) for keys in hashes],
            images=normalised(np.stack([self._mean([pictures[key] for key in keys]) for keys in hashes])),
            texts=np.stack([vectors[question] for question in questions]),
        )

    def _mean(self, pictures: list[Picture]) -> np.ndarray:
        """Several images of one sample become the mean of their vectors, none becomes zeros."""
        if not pictures:
            return np.zeros(self._images.width, np.float32)
        return np.mean([picture.vector for picture in pictures], axis=0)

    def _encode(self, keys: list[str]) -> list[Picture]:
        opened = [decoded(*self._files[key]) for key in keys]
        vectors = self._images.embed_images(opened)
        return [Picture(pixel_hash(image), vector) for image, vector in zip(opened, vectors, strict=True)]


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
    """Embed every validated sample; shards hold `embedding_schema` rows in the order of the samples."""
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    settings = recipe.data.embedding
    validated = read_manifest(validation_uri)
    weights = encoder_files(settings.image_encoder), encoder_files(settings.text_encoder)
    mark = fingerprint(
        step="embedding",
        version=VERSION,
        settings=settings.model_dump(exclude=NOT_THE_VECTORS),
        weights=[files.identity for files in weights],
        rows_per_shard=recipe.data.rows_per_shard,
        inputs=[validated.sha256()],
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    embed, tally = embedder(settings, *weights), Tally("embedding")
    progress = Progress("embedding", validated.rows)
    writer = ShardWriter(out_uri, embedding_schema(*embed.widths, settings.vector_dtype), recipe.data.rows_per_shard)
    for count in validated.counts:
        tally.take(count.source, 0)  # a source that lost all its rows earlier keeps its line in the ledger
    for samples in chunks(read_samples(validation_uri, validated), CHUNK_ROWS):
        writer.write_table(embedding_table(embed(samples), settings.vector_dtype))
        for sample in samples:
            tally.take(sample.source)
            tally.keep(sample.source)
        progress.update(len(samples))
    progress.close()
    shards = writer.close()
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
        ),
    )
