"""Settings of the embedding step."""

from typing import Literal

from pydantic import Field

from data.settings.base import Strict


class EmbeddingSettings(Strict):
    """Which encoders turn images and texts into vectors (paper: SSCD and all-mpnet-base-v2)."""

    image_encoder: Literal["efficientnet-lite0"] = "efficientnet-lite0"
    text_encoder: Literal["minilm-l6-v2"] = "minilm-l6-v2"
    image_size: int = Field(default=96, ge=32, le=1024)
    max_text_tokens: int = Field(default=32, ge=8, le=512)
    batch_size: int = Field(default=64, ge=1)
    vector_dtype: Literal["float32", "float16"] = Field(
        default="float32", description="float16 halves what vectors take on disk; cosines change by about 1e-4"
    )
