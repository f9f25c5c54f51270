"""Which parts of the network a stage trains, and which parameters decay."""

from collections.abc import Collection
from typing import Any

from torch import nn

from model.config import PARTS


def freeze(model: nn.Module, trainable: Collection[str]) -> None:
    """Let the parts named in `trainable` learn and fix the others.

    A frozen part needs no gradients, so that no graph is built for a frozen tower, and stays in eval mode.
    """
    for name in PARTS:
        part: nn.Module = getattr(model, name)
        part.requires_grad_(name in trainable)
        part.train(name in trainable)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The optimizer's groups: trainable parameters only, matrices and kernels with decay, all else without.

    Norm scales, biases and LayerScale have one dimension; shrinking them towards zero regularises nothing and hurts
    (the usual rule since BERT). A tied output head is one parameter and appears once. Empty groups are left out.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
