"""Samples to vectors: each distinct picture and each distinct question is encoded once."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from data.curation.ahead import batches_ahead
from data.curation.cores import usable_cores
from data.curation.encoder_parts import normalised
from data.curation.encoders import ImageEncoder, TextEncoder
from data.curation.vectors import Embeddings
from data.errors import AerieError
from data.files import read_bytes
from data.images import ImageProblemError, decode_image, pixel_hash
from data.schema import ImageRef, Sample, first_question

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
        found: list[Picture] = []
        for batch in batches_ahead(self._ready, keys, batch_size=self._images.batch_size, threads=usable_cores()):
            vectors = self._images.encode(np.stack([pixels for pixels, _ in batch]))
            found += [Picture(digest, vector) for (_, digest), vector in zip(batch, vectors, strict=True)]
        return found

    def _ready(self, key: str) -> tuple[np.ndarray, str]:
        """In a thread: what the network sees of a picture, and the hash of all its pixels."""
        image = decoded(*self._files[key])
        return self._images.prepare(image), pixel_hash(image)
