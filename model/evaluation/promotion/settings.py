"""The recipe's section `promotion`: what a new checkpoint may lose against the last accepted one."""

from typing import Literal

from pydantic import Field

from data.schema import Category
from data.settings.base import Strict

MODEL_NAME = r"^[a-z0-9][a-z0-9._-]*$"
ADDRESS = r"^https?://[^\s@]+$"  # of a service; a user with a password has no place there
Evidence = Literal["significant", "non_inferiority"]


class LineLimits(Strict):
    """Limits of one source (a benchmark is one) or category; what is left out comes from the level above."""

    allowed_drop: float | None = Field(default=None, ge=0, le=1)
    evidence: Evidence | None = None
    require: float | None = Field(default=None, ge=0, le=1, description="lowest score, whatever the predecessor had")


class PromotionSettings(Strict):
    """Scores and drops are shares of 1: 0.01 is one point of per cent.

    A source without limits of its own has its category's allowed drop and evidence, else the section's.
    """

    model: str | None = Field(
        default=None, pattern=MODEL_NAME, description="name in the registry; the recipe's, unless given"
    )
    allowed_drop: float = Field(default=0.01, ge=0, le=1)
    evidence: Evidence = Field(
        default="significant",
        description="significant: a drop beyond the limit counts when its interval excludes zero; non_inferiority: the "
        "whole interval must lie above the limit, so that too few questions are a reason to refuse",
    )
    sources: dict[str, LineLimits] = Field(default={})
    categories: dict[Category, LineLimits] = Field(default={})
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    family: Literal["all_lines", "each_line"] = Field(
        default="all_lines",
        description="what `confidence` is about: all intervals together (Bonferroni), or each by itself, which among "
        "many sources takes some drop by chance for real",
    )
    resamples: int = Field(default=2000, ge=100, le=100_000, description="at least; more where the confidence needs it")
    first: Literal["accept", "refuse"] = Field(default="accept", description="a checkpoint without a predecessor")
    unmatched: Literal["refuse", "allow"] = Field(
        default="refuse", description="a source of the predecessor that is gone, or whose questions are all others now"
    )
    model_registry_url: str | None = Field(
        default=None,
        pattern=ADDRESS,
        description="Kubeflow Model Registry that hears of accepted checkpoints; MODEL_REGISTRY_URL goes before",
    )

    def limits(self, source: str, category: str) -> LineLimits:
        """The limits that hold for a source."""
        own, wider = self.sources.get(source, LineLimits()), self.category_limits(category)
        return LineLimits(
            allowed_drop=wider.allowed_drop if own.allowed_drop is None else own.allowed_drop,
            evidence=own.evidence or wider.evidence,
            require=own.require,
        )

    def category_limits(self, category: str) -> LineLimits:
        """The limits that hold for a category as a whole."""
        own = self.categories.get(category, LineLimits())  # type: ignore[call-overload]
        return LineLimits(
            allowed_drop=self.allowed_drop if own.allowed_drop is None else own.allowed_drop,
            evidence=own.evidence or self.evidence,
            require=own.require,
        )
