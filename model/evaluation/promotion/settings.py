"""The recipe's section `promotion`: what a new checkpoint may lose against the last accepted one."""

from typing import Literal

from pydantic import Field, field_validator

from data.schema import Category
from data.settings.base import Strict

MODEL_NAME = r"^[a-z0-9][a-z0-9._-]*$"
ADDRESS = r"^https?://[^\s@]+$"  # of a service; a user with a password has no place there
Evidence = Literal["significant", "non_inferiority"]


class LineLimits(Strict):
    """Limits of one source, category or benchmark; what is left out comes from the level above."""

    allowed_drop: float | None = Field(default=None, ge=0, le=1)
    evidence: Evidence | None = None
    require: float | None = Field(default=None, ge=0, le=1, description="lowest score, whatever the predecessor had")


class PromotionSettings(Strict):
    """Scores and drops are shares of 1: 0.01 is one point of per cent.

    A source without limits of its own has its category's allowed drop and evidence, else the section's; a benchmark has
    the section's. HallusionBench is compared in three lines: limits of `hallusionbench` hold for each of them, those of
    `hallusionbench/fAcc` for one.
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
    benchmarks: dict[str, LineLimits] = Field(
        default={}, description="what the last stage is asked beside the held-out questions; scored by the rules eagle2"
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    family: Literal["all_lines", "each_line"] = Field(
        default="all_lines",
        description="what `confidence` is about: all intervals together (Bonferroni), or each by itself, which among "
        "many sources takes some drop by chance for real",
    )
    resamples: int = Field(default=2000, ge=100, le=100_000, description="at least; more where the confidence needs it")
    first: Literal["accept", "refuse"] = Field(default="accept", description="a checkpoint without a predecessor")
    unmatched: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="a source or benchmark of the predecessor that is gone, or whose questions are all others now",
    )
    model_registry_url: str | None = Field(
        default=None,
        pattern=ADDRESS,
        description="Kubeflow Model Registry that hears of accepted checkpoints; MODEL_REGISTRY_URL goes before",
    )

    @field_validator("benchmarks")
    @classmethod
    def _known_benchmarks(cls, limits: dict[str, LineLimits]) -> dict[str, LineLimits]:
        if limits:
            from model.evaluation.promotion.benchmark_names import check_names  # it needs all that makes benchmarks

            check_names(limits)
        return limits

    def limits(self, source: str, category: str) -> LineLimits:
        """The limits that hold for a source."""
        return _within(self.sources.get(source), self.category_limits(category))

    def category_limits(self, category: str) -> LineLimits:
        """The limits that hold for a category as a whole."""
        return _within(self.categories.get(category), self._section)  # type: ignore[call-overload]

    def benchmark_limits(self, line: str) -> LineLimits:
        """The limits that hold for one line of a benchmark (`benchmarks.line_name`)."""
        whole = self.benchmarks.get(benchmark_of(line))
        limits = _within(whole, self._section)
        return _within(self.benchmarks.get(line), limits, require=limits.require)

    @property
    def _section(self) -> LineLimits:
        return LineLimits(allowed_drop=self.allowed_drop, evidence=self.evidence)


def benchmark_of(line: str) -> str:
    """The benchmark that a line is about; its name has no stroke."""
    return line.partition("/")[0]


def _within(own: LineLimits | None, wider: LineLimits, require: float | None = None) -> LineLimits:
    """A line's own limits, completed by those of the level above; `require` where it asks for no score itself."""
    own = own or LineLimits()
    return LineLimits(
        allowed_drop=wider.allowed_drop if own.allowed_drop is None else own.allowed_drop,
        evidence=own.evidence or wider.evidence,
        require=require if own.require is None else own.require,
    )
