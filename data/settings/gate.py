"""Settings of the similarity gate."""

from pydantic import Field, model_validator

from data.settings.base import Strict


class GateSettings(Strict):
    """Similarity gate, Eq. 1: a source with S above a threshold is flagged or rejected as redundant."""

    flag_above: float = Field(default=0.8, ge=0, le=1)
    reject_above: float = Field(default=0.98, ge=0, le=1)
    duplicate_above: float = Field(default=0.9995, ge=0, le=1, description="near-duplicates inside the pool")

    @model_validator(mode="after")
    def _ordered(self) -> "GateSettings":
        if self.flag_above > self.reject_above:
            raise ValueError("flag_above must not exceed reject_above")
        return self
