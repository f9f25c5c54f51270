"""Settings of the similarity gate, of near-duplicates and of decontamination."""

from typing import Literal

from pydantic import Field, model_validator

from data.schema import Category
from data.settings.base import Strict


class GateThresholds(Strict):
    """Thresholds of one category; what isn't given is the gate's own."""

    flag_above: float | None = Field(default=None, ge=0, le=1)
    reject_above: float | None = Field(default=None, ge=0, le=1)


class GateSettings(Strict):
    """Similarity gate, Eq. 1: a source with S above a threshold is flagged or rejected as redundant."""

    flag_above: float = Field(default=0.8, ge=0, le=1)
    reject_above: float = Field(default=0.98, ge=0, le=1)
    categories: dict[Category, GateThresholds] = Field(default={}, description="other thresholds for a category")
    pool: str | None = Field(default=None, description="embedding step of an earlier dataset version to compare with")
    pool_rows: str | None = Field(
        default=None, description="a later step of that version; only its rows are the pool (default: all embedded)"
    )
    cross_category_rows: int = Field(
        default=1024, ge=0, description="rows of a source compared with other categories, for information; 0: none"
    )
    duplicate_above: float = Field(default=0.9995, ge=0, le=1, description="near-duplicates inside the pool")
    decontaminate: Literal["none", "both", "image", "text", "either"] = Field(
        default="both",
        description="what of a training row must be near a benchmark's; text only, where none has images",
    )
    decontaminate_image_above: float = Field(default=0.9995, ge=0, le=1)
    decontaminate_text_above: float = Field(default=0.9995, ge=0, le=1)
    decontaminate_turns: Literal["equal", "any"] = Field(
        default="equal", description="must all that vectors don't show (answers, later turns) be equal too"
    )
    benchmarks: tuple[str, ...] = Field(
        default=(), description="sets beside the held-out one: Parquet files, or folders of them or of a step"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "GateSettings":
        for category in (None, *self.categories):
            flag, reject = self.thresholds(category)
            if flag > reject:
                where = f" in categories.{category}" if category else ""
                raise ValueError(f"flag_above must not exceed reject_above{where}")
        if self.pool_rows is not None and self.pool is None:
            raise ValueError("pool_rows names rows of a pool; give `pool`, the embedding step of the same version, too")
        return self

    def thresholds(self, category: str | None) -> tuple[float, float]:
        """(flag_above, reject_above) of a category."""
        own = next((value for name, value in self.categories.items() if name == category), GateThresholds())
        flag = self.flag_above if own.flag_above is None else own.flag_above
        reject = self.reject_above if own.reject_above is None else own.reject_above
        return flag, reject
