"""Settings of the augmentation step."""

from typing import Annotated, Any, Literal

from pydantic import Field

from data.schema import Category
from data.settings.base import Strict
from data.settings.endpoint import OPERATIONAL, EndpointSettings

AugmentationRule = Literal[
    "chart_average",
    "chart_compare",
    "chart_count_above",
    "chart_difference",
    "chart_max",
    "chart_min",
    "chart_sum",
    "chart_trend",
    "count_compare",
    "count_difference",
    "count_objects",
    "region_box",
    "region_horizontal",
    "region_name",
    "region_size",
    "region_vertical",
    "table_average",
    "table_cell",
    "table_count_above",
    "table_difference",
    "table_max",
    "table_min",
    "table_row_sum",
    "table_sum",
    "describe_shape",
    "digit_parity",
    "ocr_count_words",
]
Share = Annotated[float, Field(ge=0, le=1)]


class RewriteSettings(Strict):
    """Which question-answer pairs an endpoint rewrites, where the result goes, and what it must be like.

    A pair's share is that of its task if that is named, else of its category, else `share`.
    """

    share: Share = 1.0
    categories: dict[Category, Share] = Field(default_factory=dict)
    tasks: dict[str, Share] = Field(default_factory=dict)
    mode: Literal["add_turn", "replace"] = Field(
        default="add_turn", description="the question once more with the new answer, or the new answer for the old one"
    )
    context_pairs: int = Field(
        default=0, ge=0, description="earlier pairs that the endpoint sees, for questions that lean on them"
    )
    min_words: int = Field(default=8, ge=1)
    max_chars: int = Field(default=2000, ge=1)
    max_repeated_ngram_ratio: float = Field(default=0.3, ge=0, le=1)

    def share_of(self, category: str, task: str) -> float:
        """The share of the pairs of one category and task."""
        by_category = {str(name): share for name, share in self.categories.items()}
        return self.tasks.get(task, by_category.get(category, self.share))


class CotSettings(RewriteSettings):
    """Reasoning that must end in the known answer.

    With `reveal_answer: false` the endpoint has to find the answer itself, and what ends elsewhere is rejected:
    fewer samples, whose reasoning was not made to fit. `number_tolerance` is relative.
    """

    reveal_answer: bool = True
    number_tolerance: float = Field(default=0.0, ge=0, lt=1)


class AugmentationSettings(Strict):
    """For each rule the share of the samples it fits that get its extra turn; and what an endpoint adds."""

    rules: dict[AugmentationRule, Share] = Field(default_factory=dict)
    endpoint: EndpointSettings | None = None
    cot: CotSettings | None = None
    long_answer: RewriteSettings | None = None

    def asked(self) -> EndpointSettings | None:
        """The endpoint, when the recipe names one and something to ask it."""
        return self.endpoint if self.cot is not None or self.long_answer is not None else None

    def identity(self) -> dict[str, Any]:
        """What decides the output, for the fingerprint: how fast and from where answers come does not."""
        return self.model_dump(exclude={"endpoint": set(OPERATIONAL)}, exclude_none=True)
