"""torch.compile, layer by layer: one graph for all layers of a kind, found again on disk by the next process."""

import torch

from model.layers import repeated_layers
from model.vlm import VisionLanguageModel


def compile_layers(model: VisionLanguageModel) -> None:
    """Compile the layers of both towers and of the decoder in place; state-dict names stay as they are.

    Whole networks would take minutes to compile, and again for every new shape. A pack has its own numbers of tokens
    and tiles, so the graphs are made for any number of them.
    """
    torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, 64)  # layers share their code
    for layers in repeated_layers(model).values():
        for layer in layers:
            layer.compile(dynamic=True)
