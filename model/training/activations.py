"""Memory for time: a layer keeps its input alone and computes the rest again in the backward pass."""

import math
from collections.abc import Mapping
from functools import partial

from torch.utils.checkpoint import checkpoint

from model.layers import repeated_layers
from model.vlm import VisionLanguageModel


def checkpoint_activations(model: VisionLanguageModel, shares: Mapping[str, float]) -> None:
    """Let a share of each part's layers recompute (Chen et al., 2016): `shares` of `model.layers.repeated_layers`.

    Losses and gradients stay what they are. The first layers do it: their activations would be held longest, and the
    last ones are needed at once. A frozen part recomputes too where gradients pass through it. The connector, two
    matrices, keeps its activations.
    """
    for name, layers in repeated_layers(model).items():
        for layer in layers[: math.ceil(shares[name] * len(layers))]:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)  # type: ignore[method-assign]
