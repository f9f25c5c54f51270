"""Settings of the formatting step."""

from typing import Literal

from pydantic import Field

from data.settings.base import Strict


class FormattingSettings(Strict):
    """Canonical text: decorations stripped, explicit answer-format instructions."""

    instructions: bool = True
    wording: Literal["brief", "full"] = Field(
        default="brief", description="of the instructions: 2 words, or a sentence"
    )
    strip_decorations: bool = True
