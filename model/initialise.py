"""Weights of a network that starts from nothing, at any width."""

import torch
from torch import nn
from torch.nn import init

EMBEDDING_STD = 0.25


def fan_in_(module: nn.Module) -> None:
    """Draw every matrix and kernel with standard deviation 1 / sqrt(fan in), so that signals keep their size.

    The published initialisations (0.02 everywhere, LayerScale 1e-6) suit widths above 1000 and long schedules; a toy
    network with them sits on the answers' prior for its whole training. LayerScale starts at 1. Embeddings start well
    above an AdamW step's size (0.25 against a learning rate near 1e-3), else the first hundred steps overwrite them.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            init.trunc_normal_(part.weight, std=part.weight[0].numel() ** -0.5)
            if part.bias is not None:
                init.zeros_(part.bias)
        if isinstance(gamma := getattr(part, "gamma", None), nn.Parameter):
            with torch.no_grad():
                gamma.fill_(1.0)
    for part in module.modules():  # after the heads: a tied head is the embedding and must keep its size
        if isinstance(part, nn.Embedding):
            init.normal_(part.weight, std=EMBEDDING_STD)
