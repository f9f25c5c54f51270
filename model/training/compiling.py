"""torch.compile, layer by layer: one graph for all layers of a kind, found again on disk by the next process."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch._functorch import config as functorch

from model.layers import repeated_layers
from model.vlm import VisionLanguageModel


def compile_layers(model: VisionLanguageModel, recomputed: Mapping[str, float]) -> None:
    """Compile the layers of both towers and of the decoder in place; state-dict names stay as they are.

    Whole networks would take minutes to compile, and again for every new shape. A pack has its own numbers of tokens
    and tiles, so the graphs are made for any number of them. `recomputed` is the share of a layer's activations, in
    memory, that its backward pass makes again: the compiler picks those that cost least (for SigLIP 0.3 is free).
    """
    from model.training.inductor import MARK, prefer_whole_rows

    prefer_whole_rows()
    mark_caches(MARK)
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)  # layers share their code
    for name, layers in repeated_layers(model).items():
        # one object: layers share what it compiles
        backend = partial(_inductor, 1.0 - recomputed[name], siglip=name == "siglip")
        for layer in layers:
            layer.compile(backend=backend, dynamic=True)


def mark_caches(mark: str) -> None:
    """Keep this process's compiled graphs apart, on disk, from those of processes without this mark."""
    if mark not in torch.compiler.config.cache_key_tag:
        torch.compiler.config.cache_key_tag += f" {mark}"


def _inductor(budget: float, graph: torch.fx.GraphModule, inputs: list[Any], *, siglip: bool) -> Any:
    """Inductor, keeping `budget` of the activations that it would keep by itself.

    SigLIP's own operators (`joint_attention`, `gelu_mlp`) tell their FLOPs, so there they are weighed like torch's;
    by default the compiler takes operators that it doesn't know for free to repeat.
    """
    from torch._inductor.compile_fx import compile_fx

    from model.training.inductor import TurnedWeightGradients

    passes = {"post_grad_custom_post_pass": TurnedWeightGradients()} if siglip else {}
    with functorch.patch(activation_memory_budget=budget, is_non_builtin_to_include=siglip):
        return compile_fx(graph, inputs, config_patches=passes)
