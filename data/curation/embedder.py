"""Samples to vectors: each distinct picture and each distinct question is encoded once."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
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
from data.shardwise import worker_pool

CACHE_ENTRIES = 50_000  # about 250 MB of image vectors
Value = TypeVar("Value")
Ready = tuple[np.ndarray, str] | str  # (pixels for the network, hash of all pixels), or what is wrong with the file


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


class Embedder:
    """Samples in, `Embeddings` out; equal texts and equal image files are encoded once."""

    def __init__(self, images: ImageEncoder, texts: TextEncoder) -> None:
        self._images, self._texts = images, texts
        self._text_cache: Cache[np.ndarray] = Cache(lambda keys: list(texts.embed_texts(keys)))
        self._picture_cache: Cache[Picture] = Cache(self._encode)
        self._files: dict[str, tuple[ImageRef, str]] = {}
        self._decoders, self.on_gpu = decoders(images), images.on_gpu
        self.widths = (images.width, texts.width)

    def close(self) -> None:
        """End the threads or processes that decode."""
        self._decoders.shutdown()

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
        work = partial(ready_pictures, self._images.prepare)
        images = [self._files[key][0] for key in keys]
        payloads = [image.bytes if image.bytes is not None else read_bytes(image.path or "") for image in images]
        found: list[Picture] = []
        for batch in batches_ahead(work, payloads, batch_size=self._images.batch_size, pool=self._decoders):
            pictures = [self._usable(key, ready) for key, ready in zip(keys[len(found) :], batch, strict=False)]
            vectors = self._images.encode(np.stack([pixels for pixels, _ in pictures]))
            found += [Picture(digest, vector) for (_, digest), vector in zip(pictures, vectors, strict=True)]
        return found

    def _usable(self, key: str, ready: Ready) -> tuple[np.ndarray, str]:
        if isinstance(ready, str):
            image, sample_id = self._files[key]
            raise AerieError(f"image {image.path} of sample {sample_id} is unusable ({ready}); validate it")
        return ready


def ready_pictures(prepare: Callable[[Image.Image | np.ndarray], np.ndarray], payloads: Sequence[bytes]) -> list[Ready]:
    """What the network sees of each picture, and the hash of all its pixels; or what is wrong with it."""
    found: list[Ready] = []
    for payload in payloads:
        try:
            image = decode_image(payload)
        except ImageProblemError as problem:
            found.append(str(problem))
        else:
            found.append((prepare(image), pixel_hash(image)))
    return found


def decoders(encoder: ImageEncoder) -> Executor:
    """Who decodes: threads while the network is on the same cores, processes when it is on a GPU.

    Threads share one Python lock: on 16 cores they decode 830 pictures a second (640 x 480), processes 2,700.
    """
    if encoder.on_gpu:
        return worker_pool(usable_cores())
    return ThreadPoolExecutor(usable_cores())
