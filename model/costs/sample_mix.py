"""The average sample that a plan counts with."""

from dataclasses import dataclass

from data.errors import AerieError
from model.config import ModelSettings
from model.costs.activation_memory import PackShape
from model.recipe import StageSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleMix:
    """Tiles, text tokens and label tokens of an average sample; `AerieError` for numbers that no sample has.

    The defaults are the mix in which issue 6 states its speeds: 6 tiles and 512 text tokens are 2,048 tokens.
    """

    tiles: float = 6.0
    text_tokens: float = 512.0
    label_tokens: float = 128.0

    def __post_init__(self) -> None:
        if self.tiles < 0:
            raise AerieError(f"tiles a sample must not be negative, got {self.tiles:g}")
        if self.text_tokens <= 0:
            raise AerieError(f"text tokens a sample must be positive, got {self.text_tokens:g}")
        if not 0 <= self.label_tokens <= self.text_tokens:
            raise AerieError(
                f"label tokens a sample are text tokens: 0 to {self.text_tokens:g}, got {self.label_tokens:g}"
            )

    def tokens(self, settings: ModelSettings) -> float:
        """Tokens of a sample."""
        return self.tiles * settings.tokens_per_tile + self.text_tokens

    def samples_per_pack(self, settings: ModelSettings, stage: StageSettings) -> float:
        """Samples of a full pack; `AerieError` when not even one fits."""
        tokens = self.tokens(settings)
        if tokens > stage.capacity:
            raise AerieError(
                f"an average sample of {self.tiles:g} tiles and {self.text_tokens:g} text tokens has {tokens:,.0f} "
                f"tokens, a pack holds {stage.capacity:,}; give smaller averages or raise the stage's capacity"
            )
        samples = stage.capacity / tokens
        if stage.max_tiles_per_pack is not None and self.tiles:
            samples = min(samples, stage.max_tiles_per_pack / self.tiles)
        return samples

    def pack(self, settings: ModelSettings, stage: StageSettings) -> PackShape:
        """A full pack of such samples."""
        samples = self.samples_per_pack(settings, stage)
        return PackShape(
            tokens=round(samples * self.tokens(settings)),
            tiles=round(samples * self.tiles),
            label_tokens=round(samples * self.label_tokens),
        )


def fullest_pack(settings: ModelSettings, stage: StageSettings, mix: SampleMix) -> PackShape:
    """The pack that takes most memory: as many tiles as its tokens allow."""
    tiles = stage.capacity // settings.tokens_per_tile
    if stage.max_tiles_per_pack is not None:
        tiles = min(tiles, stage.max_tiles_per_pack)
    labels = stage.capacity * mix.label_tokens / mix.tokens(settings)
    return PackShape(tokens=stage.capacity, tiles=tiles, label_tokens=round(labels))
