"""The whole network: tiles and tokens in, loss out. The file list of this room is its block diagram."""

import torch
from torch import nn

from model.attention import NO_MASK, PACKED_ATTENTION
from model.config import PARTS, ModelSettings
from model.connector import build_connector
from model.fusion import fuse
from model.initialise import fan_in_
from model.language import build_language
from model.loss import token_losses
from model.pack_tensors import PackTensors
from model.vision.mixture import MixtureOfEncoders


class VisionLanguageModel(nn.Module):
    """Eagle 2: vision (mixture of encoders) -> connector -> language (Qwen2)."""

    def __init__(self, settings: ModelSettings, vocab_size: int, image_context_id: int) -> None:
        super().__init__()
        self.settings, self.vocab_size, self.image_context_id = settings, vocab_size, image_context_id
        self.vision = MixtureOfEncoders(settings)
        self.connector = build_connector(self.vision.channels, settings.language.hidden_size)
        self.language = build_language(settings.language, vocab_size)

    def parameter_counts(self) -> dict[str, int]:
        """Parameters by part; tied embeddings count once."""
        return {name: sum(p.numel() for p in self.get_submodule(name).parameters()) for name in PARTS}

    def encode_tiles(self, tiles: torch.Tensor) -> torch.Tensor:
        """uint8 tiles [P, H, W, 3] to image embeddings [P, tokens per tile, D]."""
        return self.connector(self.vision(tiles))

    def embed(self, input_ids: torch.Tensor, tiles: torch.Tensor) -> torch.Tensor:
        """Token ids [T] and uint8 tiles [P, H, W, 3] to the language model's input [T, D].

        Without tiles a grey dummy runs through the towers and none of its features is used: every rank then issues the
        same collectives, and no parameter is ever without a gradient. An empty slice adds nothing whatever the features
        are, and its gradients are zeros; a product with 0 would turn an overflow in the dummy into a NaN loss.
        """
        size = self.settings.tiling.tile_size
        shown = tiles if len(tiles) else tiles.new_full((1, size, size, 3), 128)
        features = self.encode_tiles(shown)[: len(tiles)].flatten(0, 1)
        return fuse(self.language.get_input_embeddings()(input_ids), input_ids, features, self.image_context_id)

    def hidden_states(self, pack: PackTensors) -> torch.Tensor:
        """The last hidden states [T, D] of a pack; its samples don't see each other."""
        self.language.set_attn_implementation(PACKED_ATTENTION)
        result = self.language.model(
            inputs_embeds=self.embed(pack.input_ids, pack.tiles).unsqueeze(0),
            attention_mask=NO_MASK,
            position_ids=pack.positions.unsqueeze(0),
            use_cache=False,
            cu_seqlens=pack.cu_seqlens,
            max_seqlen=pack.max_seqlen,
            sequence=pack.sequence,
            positions=pack.positions,
        )
        return result.last_hidden_state[0]

    def forward(self, pack: PackTensors, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """sum_t weights[t] * loss[t] over a pack, and over each of its samples (float32 [S], without graph).

        `weights` [T] as `model.loss.token_weights` gives them.
        """
        hidden = self.hidden_states(pack)
        losses = token_losses(hidden, self.language.lm_head, pack.labels, weights, pack.answers)
        per_sample = losses.new_zeros(len(pack.cu_seqlens) - 1)
        return losses.sum(), per_sample.index_add(0, pack.sequence[pack.answers], losses.detach())


def build_model(settings: ModelSettings, vocab_size: int, image_context_id: int, seed: int) -> VisionLanguageModel:
    """A freshly initialised network; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VisionLanguageModel(settings, vocab_size, image_context_id)
        if settings.initialisation == "fan_in":
            fan_in_(model)
    return model
