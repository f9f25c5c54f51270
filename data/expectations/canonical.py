"""The Great Expectations suite `canonical`: what must hold for the table of training samples as a whole."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from data.expectations.checks import placeholders
from data.expectations.suites import Expectation, between
from data.schema import CATEGORIES, Sample

if TYPE_CHECKING:
    import pandas as pd

SUITE = "canonical"
MAX_IMAGES, MAX_TURNS, MAX_SIDE = 64, 400, 16_384


def sample_facts(sample: Sample) -> dict[str, Any]:
    """The columns that the suite looks at, for one sample; sizes in pixels, None without an image."""
    answers = [turn.content for turn in sample.conversations if turn.role == "assistant"]
    return {
        "sample_id": sample.sample_id,
        "source": sample.source,
        "category": sample.category,
        "images": len(sample.images),
        "placeholders": placeholders(sample),
        "turns": len(sample.conversations),
        "last_role": sample.conversations[-1].role if sample.conversations else None,
        "shortest_answer": min((len(answer.strip()) for answer in answers), default=0),
        "min_width": min((image.width for image in sample.images), default=None),
        "min_height": min((image.height for image in sample.images), default=None),
        "max_side": max((max(image.width, image.height) for image in sample.images), default=None),
    }


def facts_frame(facts: Iterable[dict[str, Any]]) -> "pd.DataFrame":
    """One row per sample, typed also when it is empty."""
    columns = list(sample_facts(Sample(sample_id="", source="", category="", images=(), conversations=())))
    import pandas as pd  # a second that the other data steps, which load this module too, need not wait

    frame = pd.DataFrame(list(facts), columns=columns)
    numbers = ["images", "placeholders", "turns", "shortest_answer", "min_width", "min_height", "max_side"]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def canonical_expectations(sources: Sequence[str]) -> list[Expectation]:
    """The suite for a recipe's sources, on a `facts_frame`."""

    def among(name: str, column: str, values: Sequence[str]) -> Expectation:
        arguments = {"column": column, "value_set": list(values)}
        return Expectation(name=name, kind="ExpectColumnValuesToBeInSet", arguments=arguments)

    def of(name: str, kind: str, **arguments: Any) -> Expectation:
        return Expectation(name=name, kind=kind, arguments=arguments)

    return [
        of("table_not_empty", "ExpectTableRowCountToBeBetween", min_value=1),
        of("sample_id_present", "ExpectColumnValuesToNotBeNull", column="sample_id"),
        of("sample_id_unique", "ExpectColumnValuesToBeUnique", column="sample_id"),
        of("sample_id_form", "ExpectColumnValuesToMatchRegex", column="sample_id", regex="^[0-9a-f]{32}$"),
        among("category_known", "category", CATEGORIES),
        among("source_known", "source", sources),
        of(
            "every_source_has_rows",
            "ExpectColumnDistinctValuesToContainSet",
            column="source",
            value_set=list(sources),
        ),
        between("images_count", "images", 0, MAX_IMAGES),
        of(
            "placeholders_equal_images",
            "ExpectColumnPairValuesToBeEqual",
            column_A="images",
            column_B="placeholders",
        ),
        between("turns_at_least_two", "turns", 2),
        among("ends_with_assistant", "last_role", ["assistant"]),
        between("answers_not_empty", "shortest_answer", 1),
        between("width_positive", "min_width", 1),
        between("height_positive", "min_height", 1),
        between("turns_reasonable", "turns", None, MAX_TURNS, "warning"),
        between("side_reasonable", "max_side", None, MAX_SIDE, "warning"),
    ]
