"""Settings of the Great Expectations borders after filtering and after selection."""

from pydantic import Field

from data.settings.base import Strict


class ExpectationSettings(Strict):
    """Limits of the suites `measured` and `selected`. What is no matter of taste (ids, ranges) has no setting."""

    max_drop_share: float = Field(
        default=0.95, gt=0, le=1, description="of a source's rows, dropped by the filters; more stops the run"
    )
    min_rows_judged: int = Field(
        default=100, ge=1, description="a smaller source is too small for its drop share to mean anything"
    )
    min_coverage: float = Field(
        default=0.5, ge=0, le=1, description="share of a category's clusters that stage 2 reaches; less is a warning"
    )
    max_category_share: float = Field(
        default=0.95, gt=0, le=1, description="of stage 2 that is one category; more is a warning"
    )
