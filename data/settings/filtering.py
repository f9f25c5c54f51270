"""Settings of the filters: thresholds on measured columns."""

from typing import Literal

from pydantic import Field

from data.settings.base import Strict


class FilterSettings(Strict):
    """Thresholds on measured columns; a new threshold never measures again. A sample beyond one is dropped."""

    max_order_errors: int = Field(default=0, ge=0)
    max_empty_turns: int = Field(default=0, ge=0)
    max_placeholder_leaks: int = Field(default=0, ge=0)
    max_refusals: int = Field(default=0, ge=0)
    max_template_residues: int = Field(default=0, ge=0)
    max_markup_errors: int = Field(default=0, ge=0)
    max_answer_chars: int = Field(default=4000, ge=1)
    max_turn_chars: int = Field(default=32_000, ge=1, description="of any role: a pasted book is no question")
    max_repeated_ngram_ratio: float = Field(default=0.5, ge=0, le=1)
    max_loop_share: float = Field(default=0.3, ge=0, le=1)
    max_repeated_line_ratio: float = Field(default=0.5, ge=0, le=1)
    max_repeated_turn_ratio: float = Field(default=0.5, ge=0, le=1)
    max_unsupported_decimals: int = Field(default=0, ge=0)
    max_mismatched_turns: int = Field(default=0, ge=0)
    max_language_mismatches: int = Field(default=0, ge=0)
    max_questions_beyond_images: int = Field(default=0, ge=0)
    image_text_space: Literal["separate", "joint"] = Field(
        default="separate", description="joint: the image and text encoders share a space, as in CLIP"
    )
    measure_relevance: bool = Field(default=True, description="where the step is given embeddings")
    min_image_text_relevance: float = Field(default=-1.0, ge=-1, le=1)
    measure_strokes: bool = Field(default=False, description="decode pictures whose question asks for text")
    min_text_strokes: int = Field(default=1, ge=0, description="used with measure_strokes")
