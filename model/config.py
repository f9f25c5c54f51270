"""The network's geometry as typed settings (DESIGN section 4 gives the published presets)."""

from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from data.settings.base import Strict
from model.preset_documents import over_preset

PARTS = ("vision", "connector", "language")  # submodules of the network that a stage trains or freezes
Preset = Literal["eagle2-1b", "eagle2-2b", "eagle2-9b", "eagle2-32b", "tiny"]  # `model.presets`
Activation = Literal["gelu_pytorch_tanh", "gelu", "silu"]  # as transformers names them


class TilingSettings(Strict):
    """How an image becomes tiles: candidates i x j with 1 <= i*j <= max_tiles, plus a thumbnail when tiles != 1."""

    tile_size: int = Field(default=448, ge=16, description="pixels")
    max_tiles: int = Field(default=12, ge=1, le=64)
    strategy: Literal["aspect", "area"] = "area"
    thumbnail: bool = True


class PretrainedSettings(Strict):
    """Published weights to start the first stage from: folders (local or s3://), relative paths count from the recipe.

    What isn't named starts afresh. The files' tensors must fit the network exactly (`model.pretrained`).
    """

    language: str | None = Field(default=None, description="Hugging Face folder of a Qwen2.5")
    siglip: str | None = Field(
        default=None, description="Hugging Face folder of a SigLIP, text tower and heads ignored"
    )
    convnext: str | None = Field(default=None, description="timm's model.safetensors, or a folder that holds it")
    checkpoint: str | None = Field(default=None, description="a checkpoint of ours, for all parts")

    @model_validator(mode="after")
    def _checkpoint_alone(self) -> "PretrainedSettings":
        if self.checkpoint and (self.language or self.siglip or self.convnext):
            raise ValueError("pretrained.checkpoint holds all parts: name it alone")
        return self


class SiglipSettings(Strict):
    """SigLIP tower (default: so400m/14 at 448)."""

    hidden_size: int = Field(default=1152, ge=1)
    intermediate_size: int = Field(default=4304, ge=1)
    num_layers: int = Field(default=27, ge=1)
    num_heads: int = Field(default=16, ge=1)
    patch_size: int = Field(default=14, ge=1)
    layer_norm_eps: float = Field(default=1e-6, gt=0)
    hidden_act: Activation = "gelu_pytorch_tanh"


class ConvNextSettings(Strict):
    """ConvNeXt tower of four stages (default: XXLarge at 512); the tile is resized to `image_size`."""

    depths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (3, 4, 30, 3)
    dims: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (384, 768, 1536, 3072)
    image_size: int = Field(default=512, ge=1)
    norm_eps: float = Field(default=1e-5, gt=0, description="of the CLIP-trained XXLarge; timm's other sizes have 1e-6")

    @property
    def stride(self) -> int:
        """Pixels per cell of the last stage: a stem of 4, then three halvings."""
        return 32


class LanguageSettings(Strict):
    """Qwen2.5 decoder (default: 0.5B)."""

    hidden_size: int = Field(default=896, ge=1)
    intermediate_size: int = Field(default=4864, ge=1)
    num_layers: int = Field(default=24, ge=1)
    num_heads: int = Field(default=14, ge=1)
    num_kv_heads: int = Field(default=2, ge=1)
    rope_theta: float = Field(default=1_000_000.0, gt=0)
    max_positions: int = Field(default=32768, ge=1)
    rms_norm_eps: float = Field(default=1e-6, gt=0)
    hidden_act: Activation = "silu"
    tie_embeddings: bool = True
    embedding_rows: int = Field(
        default=1,
        ge=1,
        description="least rows of the embedding; published tables have more than the tokenizer's tokens",
    )

    def rows(self, tokens: int) -> int:
        """Rows of the embedding and of the output head for a tokenizer of so many tokens."""
        return max(self.embedding_rows, tokens)


class TokenizerSettings(Strict):
    """`path` names a published tokenizer; without it a byte-level BPE is trained on the run's own text."""

    path: str | None = None
    vocab_size: int = Field(default=1024, ge=300)


class ModelSettings(Strict):
    """The whole network. Tokens per tile = (tile_size / patch_size / 2) ** 2 after the PixelShuffle by one half.

    With a preset, the other keys change single values of it (`model.preset_documents` has its numbers).
    """

    preset: Preset | None = None
    tiling: TilingSettings = TilingSettings()
    siglip: SiglipSettings = SiglipSettings()
    convnext: ConvNextSettings | None = None
    language: LanguageSettings = LanguageSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    pretrained: PretrainedSettings = PretrainedSettings()
    system_prompt: str = "You are a helpful assistant."
    number_images: bool = Field(
        default=True, description="write <image 1>, <image 2>, ... before the images of a conversation with several"
    )
    initialisation: Literal["published", "fan_in"] = Field(
        default="published", description="fresh weights: each library's own rule, or 1/sqrt(fan in) for toy widths"
    )

    @property
    def grid(self) -> int:
        """Side of the token grid of one tile after PixelShuffle."""
        return self.tiling.tile_size // self.siglip.patch_size // 2

    @property
    def tokens_per_tile(self) -> int:
        """Image tokens that one tile becomes (256 for the published geometry)."""
        return self.grid**2

    @model_validator(mode="before")
    @classmethod
    def _over_preset(cls, document: Any) -> Any:
        return over_preset(document) if isinstance(document, dict) else document

    @model_validator(mode="after")
    def _grids_agree(self) -> "ModelSettings":
        if self.tiling.tile_size % (2 * self.siglip.patch_size):
            raise ValueError("tiling.tile_size must be a multiple of 2 * siglip.patch_size")
        if self.convnext and self.convnext.image_size != self.grid * self.convnext.stride:
            raise ValueError(
                f"convnext.image_size must be {self.grid * self.convnext.stride} so that its grid is "
                f"{self.grid}x{self.grid} like SigLIP's after PixelShuffle"
            )
        return self

    @model_validator(mode="after")
    def _heads_divide(self) -> "ModelSettings":
        siglip, language = self.siglip, self.language
        if siglip.hidden_size % siglip.num_heads:
            raise ValueError("siglip.hidden_size must be a multiple of siglip.num_heads")
        if language.hidden_size % (2 * language.num_heads):
            raise ValueError("language.hidden_size must be a multiple of 2 * language.num_heads (rotary pairs)")
        if language.num_heads % language.num_kv_heads:
            raise ValueError("language.num_heads must be a multiple of language.num_kv_heads")
        return self

    @model_validator(mode="after")
    def _pretrained_parts_exist(self) -> "ModelSettings":
        if self.pretrained.convnext and self.convnext is None:
            raise ValueError("pretrained.convnext is named, but the network has no convnext")
        if self.pretrained.language and self.tokenizer.path is None:
            raise ValueError("pretrained.language needs tokenizer.path: its rows belong to the published tokens")
        return self
