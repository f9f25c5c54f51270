"""Settings of the selection step."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from data.schema import CATEGORIES
from data.settings.base import Strict


class CategorySelection(Strict):
    """How one category's stage-2 subset is drawn.

    kmeans: the same number from each cluster of image vectors (charts, documents, mathematics); coverage: rows that
    stand for the others in image and text together (natural scenes); random; all.
    """

    strategy: Literal["kmeans", "coverage", "random", "all"] = "kmeans"
    clusters: int = Field(default=16, ge=1, description="of kmeans")
    quota: int | None = Field(default=None, ge=1, description="samples to keep; None keeps all")


class SelectionSettings(Strict):
    """Stage-2 quotas per source, subset per category, and the share of samples that stage 1 sees."""

    categories: dict[str, CategorySelection] = Field(default_factory=dict)
    default: CategorySelection = CategorySelection(strategy="all")
    stage_1_share: float = Field(default=0.25, gt=0, le=1)
    source_quotas: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description="rows of a source for stage 2, whatever the other keys say"
    )
    source_target: int | None = Field(
        default=None, ge=1, description="rows up to which a source gives all; None: sources have no quota"
    )
    source_power: float = Field(default=0.5, ge=0, le=1, description="growth of a quota above the target")
    auto_labelled_power: float = Field(default=0.25, ge=0, le=1, description="the same for auto-labelled sources")
    kmeans_backend: Literal["auto", "faiss", "flash"] = Field(default="auto", description="auto: flash where it runs")

    @model_validator(mode="after")
    def _known_categories(self) -> "SelectionSettings":
        unknown = sorted(set(self.categories) - set(CATEGORIES))
        if unknown:
            raise ValueError(f"unknown categories {unknown}; choose from {list(CATEGORIES)}")
        return self

    @model_validator(mode="after")
    def _ordered_powers(self) -> "SelectionSettings":
        if self.auto_labelled_power > self.source_power:
            raise ValueError("auto_labelled_power must not exceed source_power: machine labels earn smaller ratios")
        return self
