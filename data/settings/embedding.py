"""Settings of the embedding step."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from data.settings.base import Strict

IMAGE_ENCODER = re.compile(r"efficientnet-lite0|sscd:.+|timm:[^@]+(@.+)?")
TEXT_ENCODER = re.compile(r"minilm-l6-v2|sentence:.+")


def _known_image_encoder(name: str) -> str:
    if not IMAGE_ENCODER.fullmatch(name):
        raise ValueError(f"unknown encoder {name!r}; write efficientnet-lite0, sscd:FILE or timm:MODEL[@FILE]")
    return name


def _known_text_encoder(name: str) -> str:
    if not TEXT_ENCODER.fullmatch(name):
        raise ValueError(f"unknown encoder {name!r}; write minilm-l6-v2 or sentence:FOLDER")
    return name


class EmbeddingSettings(Strict):
    """Which encoders turn images and texts into vectors (paper: SSCD and all-mpnet-base-v2).

    FILE and FOLDER are local paths (relative ones count from the recipe) or s3://…, and may end in `#sha256=HEX`: other
    weights are then an error.
    """

    image_encoder: Annotated[str, AfterValidator(_known_image_encoder)] = "efficientnet-lite0"
    text_encoder: Annotated[str, AfterValidator(_known_text_encoder)] = "minilm-l6-v2"
    image_size: int | None = Field(
        default=None, ge=32, le=1024, description="pixels a side; by default 96, for SSCD 288, for timm the model's own"
    )
    max_text_tokens: int = Field(default=32, ge=8, le=512)
    batch_size: int = Field(default=64, ge=1)
    vector_dtype: Literal["float32", "float16"] = Field(
        default="float32", description="float16 halves what vectors take on disk; cosines change by about 1e-4"
    )
