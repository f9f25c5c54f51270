"""FP8 products for the large linear layers, by torchao's float8 training: an option, and an optional package.

A layer's weights, inputs and outputs stay bfloat16. Each of its three products (output, gradient of the input,
gradient of the weight) is computed from FP8 copies made on the spot, every copy with a scale from its own largest value
(dynamic scaling): e4m3 for weights and activations, e5m2 for gradients where one scale serves a whole tensor, e4m3
where each row has one (Micikevicius et al., 2022). Making the copies is what FP8 costs: torch.compile must fuse it with
the layers' other work, or the network gets slower.
"""

import dataclasses
import statistics
from collections.abc import Collection
from types import ModuleType
from typing import Any, Literal

import torch
from torch import nn

from data.errors import AerieError
from model.vlm import VisionLanguageModel

Scaling = Literal["tensorwise", "rowwise"]
# Harmonic mean of the features in and out: the products grow with in * out, the copies with in + out. Below this the
# copies cost more than the products save (bench_float8.py).
LEAST = 2048
MULTIPLE = 16  # features; what the FP8 kernels take
FIRST_CAPABILITY = (8, 9)  # Ada; then Hopper
# On an H100 a compiled layer's forward and backward pass take 0.72 of bf16's time in Qwen2 7B and 0.87 in 1.5B, but
# 1.05 to 1.09 in SigLIP, whose layers are too narrow, and 0.95 in ConvNeXt's MLP, which would lose more by not folding
# LayerScale into its matrix (model.vision.channels_last). The connector is a hundredth of the products, and all that
# stage 1 trains.
FLOAT8_PARTS = ("language",)


def use_float8(
    model: VisionLanguageModel,
    scaling: Scaling,
    *,
    parts: Collection[str] = FLOAT8_PARTS,
    least: int = LEAST,
    emulate: bool = False,
) -> tuple[str, ...]:
    """Let the linear layers of `parts` that `large_enough` takes multiply in FP8; returns their names.

    `scaling`: one scale for a whole tensor (`tensorwise`), or one for each row and each column (`rowwise`: gradients
    are a third nearer to the exact ones, but the copies take so long that an H100 gains nothing; no recipe's choice).
    The output head and the embeddings stay as they are. Parameters are the same objects with the same names, so that
    checkpoints fit either way. Call it before hooks, torch.compile and DeepSpeed. `emulate` rounds to FP8 and
    multiplies in float32: the same numbers but for the order of sums, on any device, slowly.

    `AerieError`: torchao is missing, the GPU has no FP8 units, no layer is large enough.
    """
    if not emulate:
        _check_device(scaling)
    torchao = _torchao(scaling)
    config = dataclasses.replace(torchao.Float8LinearConfig.from_recipe_name(scaling), emulate=emulate)
    head, converted = model.language.get_output_embeddings(), []

    def chosen(module: nn.Module, name: str) -> bool:
        return module is not head and isinstance(module, nn.Linear) and large_enough(module, least)

    for part in parts:
        network = model.get_submodule(part)
        names = [name for name, module in network.named_modules() if chosen(module, name)]
        modes = {name: network.get_submodule(name).training for name in names}
        torchao.convert_to_float8_training(network, module_filter_fn=chosen, config=config)
        for name in names:
            _finish(network.get_submodule(name), training=modes[name])
        converted += [f"{part}.{name}" for name in names]
    if not converted:
        raise AerieError(
            f"float8: {scaling} has no effect: no linear layer of {', '.join(parts)} has {least} features (harmonic "
            f"mean of in and out, multiples of {MULTIPLE}); set the stage's float8 to off"
        )
    return tuple(converted)


def large_enough(layer: nn.Linear, least: int = LEAST) -> bool:
    """Whether FP8 takes a layer's shape and is worth its copies; `least` features, harmonic mean of in and out."""
    features = (layer.in_features, layer.out_features)
    return statistics.harmonic_mean(features) >= least and all(number % MULTIPLE == 0 for number in features)


def _finish(layer: Any, *, training: bool) -> None:
    """Give a converted layer its mode back, and packs of any length.

    The weight's gradient is a sum over tokens, and FP8 kernels want their number in sixteens: zeros are added there.
    """
    layer.train(training)
    products = layer.linear_mm_config
    layer.linear_mm_config = products._replace(grad_weight=products.grad_weight._replace(pad_inner_dim=True))


def _torchao(scaling: str) -> ModuleType:
    try:
        import torchao.float8
    except ImportError as error:
        raise AerieError(
            f"float8: {scaling} needs the package torchao ({error}): pip install 'torchao>=0.18', or set the stage's "
            "float8 to off"
        ) from error
    return torchao.float8


def _check_device(scaling: str) -> None:
    """Say so at once when there are no FP8 units; torch would, in the middle of the first step."""
    if not torch.cuda.is_available():
        raise AerieError(
            f"float8: {scaling} needs a GPU with FP8 units, and there is none; set the stage's float8 to off"
        )
    if (capability := torch.cuda.get_device_capability()) < FIRST_CAPABILITY:
        raise AerieError(
            f"float8: {scaling} needs a GPU with FP8 units (Ada, Hopper or newer, compute capability 8.9); this "
            f"{torch.cuda.get_device_name()} has {'.'.join(map(str, capability))}; set the stage's float8 to off"
        )
