"""Settings of the formatting step."""

from typing import Literal

from pydantic import Field

from data.settings.base import Strict

Wording = Literal["brief", "full", "standard"]
Family = Literal[
    "yes_no",
    "letter",
    "number",
    "quantity",
    "phrase",
    "sentence",
    "transcription",
    "list",
    "items",
    "box",
    "point",
    "json",
    "table",
    "markdown",
    "latex",
    "code",
    "detailed",
    "explained",
    "reasoning",
    "free",
]


class FormattingSettings(Strict):
    """Canonical text: decorations stripped, explicit answer-format instructions."""

    instructions: bool = True
    wording: Wording = Field(
        default="brief",
        description="of the instructions: 2 or 3 words; a sentence; or a sentence as the usual benchmarks put it",
    )
    strip_decorations: bool = True
    families: dict[str, Family] = Field(
        default={}, description="task to the family of its answer format, for tasks that are not known"
    )
