"""Settings of the selection step."""

from typing import Literal

from pydantic import Field, model_validator

from data.schema import CATEGORIES
from data.settings.base import Strict


class CategorySelection(Strict):
    """How one category's stage-2 subset is drawn."""

    strategy: Literal["kmeans", "random", "all"] = "kmeans"
    clusters: int = Field(default=16, ge=1)
    quota: int | None = Field(default=None, ge=1, description="samples to keep; None keeps all")


class SelectionSettings(Strict):
    """Stage-2 subset per category, and the share of samples that stage 1 sees."""

    categories: dict[str, CategorySelection] = Field(default_factory=dict)
    default: CategorySelection = CategorySelection(strategy="all")
    stage_1_share: float = Field(default=0.25, gt=0, le=1)

    @model_validator(mode="after")
    def _known_categories(self) -> "SelectionSettings":
        unknown = sorted(set(self.categories) - set(CATEGORIES))
        if unknown:
            raise ValueError(f"unknown categories {unknown}; choose from {list(CATEGORIES)}")
        return self
