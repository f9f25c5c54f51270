"""FP8 against bf16, layer by layer: the true geometry of each network in a network of one layer.

Run by bench_float8.py. `products` times the three matrix products of a linear layer alone, on FP8 copies that exist
already: the most that FP8 can give. `errors` compares with float64. `layers` and `linears` time forward and backward as
they train: compiled, with the making of the copies.
"""

import copy
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from model.attention import PACKED_ATTENTION
from model.config import ModelSettings
from model.training.float8 import use_float8
from model.vlm import VisionLanguageModel

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SCALINGS = ("tensorwise", "rowwise")
Run = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Geometry:
    """A layer of a preset: `kind` language (samples of 2,048 tokens), siglip (tiles of 1,024 patches) or convnext."""

    name: str
    kind: str
    preset: str
    tokens: int
    least: tuple[int, ...]  # rules to try: harmonic mean of features from which a linear layer multiplies in FP8


GEOMETRIES = (
    Geometry("Qwen2 7B", "language", "eagle2-9b", 16_384, (2048,)),
    Geometry("SigLIP", "siglip", "eagle2-9b", 49_152, (1024, 1600)),
    Geometry("ConvNeXt MLP", "convnext", "eagle2-9b", 49_152, (2048,)),
    Geometry("Qwen2 1.5B", "language", "eagle2-2b", 16_384, (1024, 2048)),
    Geometry("Qwen2 0.5B", "language", "eagle2-1b", 16_384, (1024,)),
)
# Without a GPU: the same code at toy size, emulated, to see that it runs. Its times say nothing.
TOY = (
    Geometry("toy language", "language", "tiny", 256, (16,)),
    Geometry("toy SigLIP", "siglip", "tiny", 256, (16, 100)),
    Geometry("toy ConvNeXt MLP", "convnext", "tiny", 256, (16,)),
)


def geometries() -> tuple[Geometry, ...]:
    """What this machine can measure."""
    return GEOMETRIES if DEVICE == "cuda" else TOY


class Layer:
    """One layer of a network with its input, in bf16 or with FP8 products."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry, self.model = geometry, _one_layer_network(geometry.preset)
        self.module = _module(self.model, geometry.kind)
        self.options: dict[str, Any] = {}
        self.input, self.work = self._input()
        self.input.requires_grad_()

    def linears(self) -> dict[tuple[int, int], nn.Linear]:
        """A linear layer of each shape (features in, out)."""
        return {(m.in_features, m.out_features): m for m in self.module.modules() if isinstance(m, nn.Linear)}

    def converted(self, scaling: str, least: int) -> tuple["Layer", int]:
        """The same layer with FP8 products, and how many of its linear layers have them."""
        other = copy.copy(self)
        other.model = copy.deepcopy(self.model)
        part = "language" if self.geometry.kind == "language" else "vision"
        use_float8(other.model, scaling, parts=[part], least=least, emulate=DEVICE == "cpu")
        other.module = _module(other.model, self.geometry.kind)
        return other, sum(type(module).__name__ == "Float8Linear" for module in other.module.modules())

    def run(self) -> Run:
        """Forward and backward of the layer, compiled for any number of tokens as in training."""
        torch._dynamo.reset()  # every layer here is another instance of the same code
        forward = torch.compile(self.module.forward, dynamic=True, backend=_backend())
        wanted = [self.input, *(p for p in self.module.parameters() if p.requires_grad)]
        gradient = torch.randn_like(self.input)

        def run() -> Any:
            output = forward(self.input, **self.options)
            return torch.autograd.grad(output[0] if isinstance(output, tuple) else output, wanted, gradient)

        return run

    def _input(self) -> tuple[torch.Tensor, float]:
        """The layer's input, and the FLOPs of its forward and backward (no recomputation)."""
        settings, tokens = self.model.settings, self.geometry.tokens
        products = 6.0 * tokens * sum(m.weight.numel() for m in self.module.modules() if isinstance(m, nn.Linear))
        if self.geometry.kind == "convnext":
            side, width = settings.convnext.image_size // 16, settings.convnext.dims[2]
            return _drawn(tokens // side**2, side, side, width), products
        if self.geometry.kind == "siglip":
            patches, width = (settings.tiling.tile_size // settings.siglip.patch_size) ** 2, settings.siglip.hidden_size
            self.options = {"attention_mask": None}
            return _drawn(tokens // patches, patches, width), products + 12.0 * tokens * patches * width
        length = min(2048, tokens)
        self.options = self._pack(length)
        width = settings.language.hidden_size
        return _drawn(1, tokens, width), products + 6.0 * tokens * length * width

    def _pack(self, length: int) -> dict[str, Any]:
        """What the decoder layer is given beside its input: a pack of samples of one length."""
        language, count = self.model.language, self.geometry.tokens // length
        language.set_attn_implementation(PACKED_ATTENTION)
        positions = torch.arange(length, device=DEVICE).repeat(count)
        borders = torch.arange(0, (count + 1) * length, length, dtype=torch.int32, device=DEVICE)
        rotary = language.model.rotary_emb(_drawn(1, 1, 1), positions.unsqueeze(0))
        return {
            "attention_mask": None,
            "position_ids": positions.unsqueeze(0),
            "position_embeddings": rotary,
            "cu_seqlens": borders,
            "max_seqlen": length,
            "sequence": torch.arange(count, device=DEVICE).repeat_interleave(length),
            "positions": positions,
        }


@functools.cache
def _one_layer_network(preset: str) -> VisionLanguageModel:
    """The preset's network with one layer of each kind and a small vocabulary, bf16."""
    document: dict[str, Any] = {"preset": preset, "language": {"num_layers": 1}, "siglip": {"num_layers": 1}}
    if preset in ("eagle2-9b", "tiny"):
        document["convnext"] = {"depths": (1, 1, 1, 1)}
    model = VisionLanguageModel(ModelSettings.model_validate(document), 256, 90)
    return model.to(DEVICE, torch.bfloat16)


def _module(model: VisionLanguageModel, kind: str) -> nn.Module:
    """The measured layer, found by its class's name: transformers moves it about."""
    if kind == "convnext":
        return model.vision.convnext.trunk.stages[2].blocks[0].mlp
    network, name = (
        (model.language, "Qwen2DecoderLayer") if kind == "language" else (model.vision, "SiglipEncoderLayer")
    )
    return next(module for module in network.modules() if type(module).__name__ == name)


def _drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, device=DEVICE, dtype=torch.bfloat16)


def _backend() -> str:
    return "inductor" if DEVICE == "cuda" else "aot_eager"


def milliseconds(run: Run, repeats: int = 10) -> float:
    """Median time of a run on the device, after three that compile and warm up."""
    for _ in range(3):
        run()
    if DEVICE == "cpu":
        start = time.perf_counter()
        run()
        return (time.perf_counter() - start) * 1e3
    taken = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        taken.append(start.elapsed_time(end))
    return statistics.median(taken)


def layers(layer: Layer) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, figures) of the compiled layer in bf16, then with FP8 products by scaling and rule."""
    base = milliseconds(layer.run())
    yield "bf16", {"ms": base, "tflops": layer.work / base / 1e9}
    for scaling in SCALINGS:
        for least in layer.geometry.least:
            other, count = layer.converted(scaling, least)
            taken = milliseconds(other.run())
            figures = {"ms": taken, "tflops": layer.work / taken / 1e9, "times_bf16": base / taken, "linears": count}
            yield f"{scaling}, from {least}", figures
            del other


def linears(layer: Layer, scaling: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(shape, figures) of each shape of linear layer alone, forward and backward, against bf16."""
    other, _ = layer.converted(scaling, 16)
    fast = other.linears()
    for (wide, narrow), plain in layer.linears().items():
        work = 6.0 * layer.geometry.tokens * wide * narrow
        source, gradient = _drawn(layer.geometry.tokens, wide).requires_grad_(), _drawn(layer.geometry.tokens, narrow)
        torch._dynamo.reset()

        def both(forward: Callable[..., Any], weight: Any, source: Any = source, gradient: Any = gradient) -> Run:
            return lambda: torch.autograd.grad(forward(source), (source, weight), gradient)

        base = milliseconds(both(plain, plain.weight))
        chosen = fast[wide, narrow]
        taken = milliseconds(both(torch.compile(chosen.forward, dynamic=True, backend=_backend()), chosen.weight))
        figures = {"bf16_ms": base, "ms": taken, "bf16_tflops": work / base / 1e9, "tflops": work / taken / 1e9}
        yield f"{wide} to {narrow}", {**figures, "times_bf16": base / taken}
