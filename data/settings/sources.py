"""Which source cards a recipe draws from."""

from pydantic import Field

from data.settings.base import Strict


class SourceUse(Strict):
    """One source card to draw from."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="name of a source card")
    max_samples: int | None = Field(default=None, ge=1, description="cap on training samples taken from the source")
    max_heldout: int | None = Field(default=None, ge=1, description="cap on held-out samples")
