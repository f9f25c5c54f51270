"""What image and text encoders share: the device, unit vectors, weights under another implementation's names."""

from typing import TYPE_CHECKING

import numpy as np

from data.errors import AerieError

if TYPE_CHECKING:
    import torch


def torch_device() -> "torch.device":
    """The GPU when there is one."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


def finite(vectors: np.ndarray, where: str) -> np.ndarray:
    """The vectors; `AerieError` when a number isn't finite, for comparisons would hide it."""
    if not np.isfinite(vectors).all():
        raise AerieError(f"{where} gives vectors with infinite or undefined numbers: its weights are damaged")
    return vectors


def matched_by_order(
    weights: "dict[str, torch.Tensor]", target: "dict[str, torch.Tensor]", where: str
) -> "dict[str, torch.Tensor]":
    """Weights under the target's names, paired by position; every shape and last name part must agree.

    Two implementations of one architecture declare the same layers in the same order under other names.
    """
    if len(weights) != len(target):
        raise AerieError(f"{where} holds {len(weights)} tensors, the network has {len(target)}: another architecture")
    renamed = {}
    for (name, tensor), (wanted, slot) in zip(weights.items(), target.items(), strict=True):
        same_kind = name.rpartition(".")[2] == wanted.rpartition(".")[2]
        if tuple(tensor.shape) != tuple(slot.shape) or not same_kind:
            raise AerieError(
                f"{where}: {name} {tuple(tensor.shape)} does not fit {wanted} {tuple(slot.shape)}; "
                "install the locked versions of timm and of the weights' package"
            )
        renamed[wanted] = tensor
    return renamed
