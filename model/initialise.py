"""Weights of a network that starts from nothing, at any width."""

import torch
from torch import nn
from torch.nn import init


def fan_in_(module: nn.Module) -> None:
    """Draw every matrix and kernel with standard deviation 1 / sqrt(fan in), so that signals keep their size.

    The published initialisations (0.02 everywhere, LayerScale 1e-6) suit widths above 1000 and long schedules; a toy
    network with them sits on the answers' prior for its whole training. Embeddings get 1 / sqrt(width), LayerScale 1.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            init.trunc_normal_(part.weight, std=part.weight[0].numel() ** -0.5)
            if part.bias is not None:
                init.zeros_(part.bias)
        elif isinstance(part, nn.Embedding):
            init.normal_(part.weight, std=part.embedding_dim**-0.5)
        if isinstance(gamma := getattr(part, "gamma", None), nn.Parameter):
            with torch.no_grad():
                gamma.fill_(1.0)
