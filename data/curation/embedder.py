"""Samples to vectors: each distinct picture and each distinct question is encoded once."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from data.curation.ahead import started_ahead
from data.curation.decoding import Decoder, EncodedPicture, Ready, ReadyPicture, ThreadDecoder, stacked
from data.curation.encoder_parts import normalised
from data.curation.encoders import ImageEncoder, TextEncoder
from data.curation.vectors import Embeddings
from data.errors import AerieError
from data.images import image_payload
from data.kernel_compiler import need_kernel_compiler
from data.schema import ImageRef, Sample, first_question

CACHE_ENTRIES = 50_000  # about 250 MB of image vectors
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples, and the hashes of each one's image files: they take as long as half of the network's work."""

    samples: Sequence[Sample]
    files: list[list[str]]

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> "Chunk":
        """Hash every file."""
        return cls(samples, [[image.content_hash() for image in sample.images] for sample in samples])


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


def decoder_for(images: ImageEncoder) -> Decoder:
    """What decodes for this encoder: where the network leaves the cores alone, they all have a process."""
    if not images.on_gpu:
        return ThreadDecoder(images.prepare, images.batch_size)
    from data.curation.process_decoder import ProcessDecoder

    need_kernel_compiler("embedding on a GPU")
    return ProcessDecoder(images.prepare, images.batch_size)


class Embedder:
    """Samples in, `Embeddings` out; equal texts and equal image files are encoded once."""

    def __init__(self, images: ImageEncoder, texts: TextEncoder) -> None:
        self._images, self._texts = images, texts
        self._text_cache: Cache[np.ndarray] = Cache(lambda keys: list(texts.embed_texts(keys)))
        self._picture_cache: Cache[Picture] = Cache(self._encode)
        self._files: dict[str, tuple[ImageRef, str]] = {}
        self._decoder = decoder_for(images)
        self.on_gpu = images.on_gpu
        self.widths = (images.width, texts.width)

    def close(self) -> None:
        """End the threads or processes that decode."""
        self._decoder.close()

    def __call__(self, chunk: Chunk) -> Embeddings:
        """One chunk of samples; memory is bounded by the chunk and the caches."""
        samples, hashes = chunk.samples, chunk.files
        self._files = {
            key: (image, sample.sample_id)
            for sample, keys in zip(samples, hashes, strict=True)
            for key, image in zip(keys, sample.images, strict=True)
        }
        questions = [first_question(sample) for sample in samples]
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(self._text_cache.fill, questions) if self.on_gpu else None  # fills its pauses
            pictures = self._picture_cache.fill(key for keys in hashes for key in keys)
            vectors = waiting.result() if waiting else self._text_cache.fill(questions)
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
        images = [self._files[key][0] for key in keys]
        files = [EncodedPicture(image_payload(image), image.pixels) for image in images]
        ready: list[ReadyPicture] = []

        def begun() -> Iterator[Callable[[], np.ndarray]]:
            for batch in self._decoder.batches(files):
                usable = [self._usable(key, one) for key, one in zip(keys[len(ready) :], batch, strict=False)]
                ready.extend(usable)
                yield self._images.begin(stacked([picture.network for picture in usable]))

        vectors = np.concatenate(list(started_ahead(begun())))
        return [Picture(picture.pixels, vector) for picture, vector in zip(ready, vectors, strict=True)]

    def _usable(self, key: str, ready: Ready) -> ReadyPicture:
        if isinstance(ready, str):
            image, sample_id = self._files[key]
            raise AerieError(f"image {image.path} of sample {sample_id} is unusable ({ready}); validate it")
        return ready
