"""SigLIP's MLPs with GELU inside their products, for a stage's `fused_mlp: quack`."""

import torch
from torch import nn
from transformers.models.siglip.modeling_siglip import SiglipMLP

from data.errors import AerieError
from model.config import SiglipSettings
from model.vision.gelu_products import gelu_mlp

ACTIVATION, MULTIPLE = "gelu_pytorch_tanh", 8  # what the kernels know; rows of 16 bytes


class FusedMlp(SiglipMLP):
    """transformers' MLP with the same parameters and, up to rounding, the same result."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[P, T, D] to [P, T, D]."""
        matrices = (self.fc1.weight, self.fc1.bias, self.fc2.weight, self.fc2.bias)
        output, _given = gelu_mlp(hidden_states.flatten(0, -2), *matrices, torch.is_grad_enabled())
        return output.view_as(hidden_states)


def fuse_mlps(tower: nn.Module, siglip: SiglipSettings) -> None:
    """Give SigLIP's layers the MLP above; parameters and their names stay. `AerieError` where kernels don't fit."""
    widths = siglip.hidden_size, siglip.intermediate_size
    if siglip.hidden_act != ACTIVATION or any(width % MULTIPLE for width in widths):
        raise AerieError(
            f"fused_mlp: quack takes hidden_act {ACTIVATION} and widths that are multiples of {MULTIPLE}, SigLIP has "
            f"{siglip.hidden_act} and {widths[0]} and {widths[1]}; set the stage's fused_mlp to off"
        )
    for module in tower.modules():
        if isinstance(module, SiglipMLP):
            module.__class__ = FusedMlp


def share_beyond_gelu(share: float, siglip: SiglipSettings) -> float:
    """What a layer with `FusedMlp` recomputes so that it keeps no more than another that recomputes `share`.

    It never keeps GELU's output, a quarter of what a layer would keep: 8 D + F numbers a token instead of 8 D + 2 F
    (`model.costs.activation_memory`).
    """
    width, inside = siglip.hidden_size, siglip.intermediate_size
    plain, fused = 8 * width + 2 * inside, 8 * width + inside
    return max(0.0, 1 - (1 - share) * plain / fused)
