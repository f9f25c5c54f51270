"""The SigLIP tower: tile pixels to a grid of patch features."""

import torch
from torch import nn
from transformers import SiglipVisionConfig, SiglipVisionModel

from model.config import ModelSettings
from model.vision.pixels import SIGLIP_PIXELS


class SiglipTower(nn.Module):
    """SigLIP without its pooling head, which Eagle 2 never uses.

    The features are `last_hidden_state`, i.e. after the final LayerNorm (reference: select_layer = -1).
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        siglip = settings.siglip
        self.side = settings.tiling.tile_size // siglip.patch_size
        self.normalise = SIGLIP_PIXELS
        self.vision_model = SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=siglip.hidden_size,
                intermediate_size=siglip.intermediate_size,
                num_hidden_layers=siglip.num_layers,
                num_attention_heads=siglip.num_heads,
                patch_size=siglip.patch_size,
                image_size=settings.tiling.tile_size,
                layer_norm_eps=siglip.layer_norm_eps,
                hidden_act=siglip.hidden_act,
                attention_dropout=0.0,
                vision_use_head=False,
            )
        )

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """uint8 tiles [P, H, W, 3] to features [P, side, side, C]."""
        features = self.vision_model(self.normalise(tiles)).last_hidden_state
        return features.unflatten(1, (self.side, self.side))
