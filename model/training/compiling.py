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
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)  # layers share their code
    for name, layers in repeated_layers(model).items():
        backend = partial(_inductor, 1.0 - recomputed[name])  # one object: layers share what it compiles
        for layer in layers:
            layer.compile(backend=backend, dynamic=True)


def _inductor(budget: float, graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
    """Inductor, keeping `budget` of the activations that it would keep by itself."""
    from torch._inductor.compile_fx import compile_fx

    with functorch.patch(activation_memory_budget=budget):
        return compile_fx(graph, inputs)
