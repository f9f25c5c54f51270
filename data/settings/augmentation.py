"""Settings of the augmentation step."""

from typing import Annotated, Literal

from pydantic import Field

from data.settings.base import Strict

AugmentationRule = Literal["chart_compare", "describe_shape", "digit_parity", "ocr_count_words"]


class AugmentationSettings(Strict):
    """Rule-based augmentation: for each rule the share of the samples it fits that get its extra turn."""

    rules: dict[AugmentationRule, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
