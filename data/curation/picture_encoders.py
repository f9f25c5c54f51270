"""Networks that turn pictures into unit vectors: packaged EfficientNet-Lite0, SSCD's TorchScript files, timm's models.

Two halves, so that other processes can prepare what one device encodes: `prepare` makes pixels, `begin` vectors.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from data.curation.encoder_parts import finite, matched_by_order, normalised, torch_device
from data.errors import AerieError

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SSCD_SIZE = 288
SSCD_FILE = "a TorchScript file of SSCD, such as sscd_disc_mixup.torchscript.pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What a picture becomes: RGB, `size` x `size` pixels. Nothing is cut away, so that all of it is compared."""

    size: int
    mode: Literal["bilinear", "bicubic"] = "bilinear"

    def __call__(self, image: Image.Image | np.ndarray) -> np.ndarray:
        """uint8 [size, size, 3]; an array is uint8 [height, width, 3].

        Torch's filter for bytes is Pillow's, within one of 255, and takes a quarter of its time.
        """
        from torch import from_numpy
        from torch.nn.functional import interpolate

        pixels = np.asarray(image if isinstance(image, np.ndarray) else image.convert("RGB"))
        planes = from_numpy(np.require(pixels, requirements="W")).permute(2, 0, 1)  # torch wants what it may write to
        resized = interpolate(planes[None], size=(self.size, self.size), mode=self.mode, antialias=True)
        return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())


class PictureNetwork:
    """A network with its preparation, colour mean and deviation (of values from 0 to 1). `width` is D."""

    def __init__(
        self,
        network: Any,
        prepare: Preparation,
        batch_size: int,
        *,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        where: str = "the network",
    ) -> None:
        import torch

        self._device = torch_device()
        self._dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        # Depthwise convolutions run about eight times faster on a CPU with channels last.
        self._network = network.eval().to(self._device, self._dtype, memory_format=torch.channels_last)
        self._mean, self._std = (torch.tensor(v, device=self._device) * 255 for v in (list(mean), list(std)))
        self.prepare, self.batch_size, self._where = prepare, batch_size, where
        self.width = self._probed()

    @property
    def on_gpu(self) -> bool:
        """Whether the network leaves the processor's cores to others."""
        return bool(self._device.type == "cuda")

    def begin(self, pixels: "np.ndarray | torch.Tensor") -> Callable[[], np.ndarray]:
        """Start on uint8 [B, size, size, 3], on whatever device they lie; the result's call gives float32 [B, D]."""
        features = self.features(pixels)
        copied = copying(features.float())
        return lambda: self._vectors(pixels, copied(), features.dtype)

    def _vectors(self, pixels: "np.ndarray | torch.Tensor", found: np.ndarray, dtype: "torch.dtype") -> np.ndarray:
        """float32 [B, D] of length 1."""
        import torch

        if dtype == torch.float16 and not np.isfinite(found).all():
            self._leave_half()
            found = self.features(pixels).float().cpu().numpy()
        return normalised(finite(found, self._where))

    def _leave_half(self) -> None:
        """Leave half precision for good: powers, as in SSCD's pooling, may exceed it."""
        import torch

        self._dtype, self._network = torch.float32, self._network.float()

    def embed_images(self, images: Sequence[Image.Image | np.ndarray]) -> np.ndarray:
        """float32 [N, D] of length 1."""
        starts = range(0, len(images), self.batch_size)
        blocks = [np.stack([self.prepare(image) for image in images[at : at + self.batch_size]]) for at in starts]
        return np.concatenate([self.begin(block)() for block in blocks]) if blocks else np.zeros((0, self.width), "f4")

    def features(self, pixels: "np.ndarray | torch.Tensor") -> "torch.Tensor":
        """[B, D] on the device, as the network gives them."""
        import torch

        batch = (torch.from_numpy(pixels) if isinstance(pixels, np.ndarray) else pixels).to(
            self._device, non_blocking=True
        )
        with torch.inference_mode():
            batch = ((batch - self._mean) / self._std).to(self._dtype)
            return self._network(batch.permute(0, 3, 1, 2))  # [B, size, size, 3] is channels last already

    def _probed(self) -> int:
        where, size = self._where, self.prepare.size
        try:
            found = self.features(np.zeros((2, size, size, 3), np.uint8))
            shape = tuple(found.shape)
        except (RuntimeError, AttributeError, TypeError) as error:
            raise AerieError(f"{where} takes no picture of {size} x {size} pixels: {_last_line(error)}") from error
        if len(shape) != 2 or shape[0] != 2:
            raise AerieError(f"{where} turns 2 pictures into a tensor {shape}; expected vectors, [2, D]")
        return int(shape[1])


class EfficientNetLite0(PictureNetwork):
    """Pooled features (D = 1280) of ImageNet-trained EfficientNet-Lite0 in timm's implementation."""

    def __init__(self, path: Path, image_size: int = 96, batch_size: int = 64) -> None:
        import timm
        import torch

        network: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        weights = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(matched_by_order(weights, network.state_dict(), path.name))
        self._classifier = network.get_classifier()
        network.reset_classifier(0)
        half = (0.5, 0.5, 0.5)
        super().__init__(network, Preparation(size=image_size), batch_size, mean=half, std=half)

    def class_scores(self, images: Sequence[Image.Image | np.ndarray]) -> np.ndarray:
        """float32 [N, 1000] ImageNet logits: the proof that the weights sit in the right layers."""
        import torch

        found = self.features(np.stack([self.prepare(image) for image in images])).float().cpu()
        with torch.inference_mode():
            return self._classifier(found).numpy()


def sscd(path: Path, image_size: int | None, batch_size: int) -> PictureNetwork:
    """SSCD (Self-Supervised Copy Detection, the paper's image encoder): D = 512 from 288 x 288 pixels."""
    import torch

    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # TorchScript is old, and so is the file
            network = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise AerieError(f"{path} can't be loaded ({_last_line(error)}); expected {SSCD_FILE}") from error
    return PictureNetwork(network, Preparation(size=image_size or SSCD_SIZE), batch_size, where=str(path))


def copying(tensor: "torch.Tensor") -> Callable[[], np.ndarray]:
    """Begin to copy a tensor from its device; the result's call waits for the copy, and for no work begun later."""
    import torch

    if tensor.device.type != "cuda":
        return tensor.numpy
    copy = tensor.to("cpu", non_blocking=True)  # pinned
    done = torch.cuda.Event(blocking=True)  # whoever waits leaves the core to others
    done.record()

    def found() -> np.ndarray:
        done.synchronize()
        return copy.numpy()

    return found


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
