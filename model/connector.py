"""The connector: vision features to embeddings of the language model."""

from torch import nn


def build_connector(channels: int, hidden_size: int) -> nn.Sequential:
    """LayerNorm -> Linear -> GELU -> Linear; the indices 0, 1, 3 are the published checkpoints' `mlp1` keys."""
    return nn.Sequential(
        nn.LayerNorm(channels), nn.Linear(channels, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size)
    )
