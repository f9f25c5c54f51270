"""Rules that add one question with a computed answer to a sample.

Each reads facts that the adapter left in `meta` (`augmentation_facts` describes them all) or the conversation's own
answers, and gives None where they don't fit.
"""

import random
from collections.abc import Callable

from data.curation import augmentation_charts, augmentation_objects, augmentation_tables
from data.curation.added_turns import AddedTurn, tasks_of
from data.schema import Sample

__all__ = ["RULES", "VERSION", "AddedTurn", "tasks_of"]

VERSION = 1  # stands in the provenance of every added turn; raise it when a rule changes its questions or answers


def digit_parity(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """Whether the digit that is to be read is even or odd."""
    answers = [turn.content.strip() for turn in sample.conversations if turn.role == "assistant"]
    digits = {answer for answer, task in zip(answers, tasks_of(sample), strict=False) if task == "digit"}
    if len(digits) != 1 or not (digit := digits.pop()).isdecimal():
        return None
    answer = "odd" if int(digit) % 2 else "even"
    return AddedTurn(question="Is the digit even or odd?", answer=answer, task="parity", inputs={"digit": digit})


def ocr_count_words(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """How many words the drawn line has; not where the question is there already."""
    text = sample.meta.get("text")
    if not isinstance(text, str) or not text.split() or "count_words" in tasks_of(sample):
        return None
    # The wording of the source that asks this anyway (text_lines): same task, same format.
    return AddedTurn(
        question="How many words are there?",
        answer=str(len(text.split())),
        task="count_words",
        inputs={"text": text},
    )


def describe_shape(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """A caption put together from the answers that the conversation already gives: colour, then shape.

    Most questions of a conversation can be half answered without looking; this one can't.
    """
    answers = [turn.content.strip() for turn in sample.conversations if turn.role == "assistant"]
    known = {task: answer for answer, task in zip(answers, tasks_of(sample), strict=False)}
    if "color" not in known or "shape" not in known:
        return None
    inputs = {"color": known["color"], "shape": known["shape"]}
    return AddedTurn(
        question="Describe the image.", answer=f"{known['color']} {known['shape']}", task="description", inputs=inputs
    )


Rule = Callable[[Sample, random.Random], AddedTurn | None]
RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        augmentation_charts.chart_average,
        augmentation_charts.chart_compare,
        augmentation_charts.chart_count_above,
        augmentation_charts.chart_difference,
        augmentation_charts.chart_max,
        augmentation_charts.chart_min,
        augmentation_charts.chart_sum,
        augmentation_charts.chart_trend,
        augmentation_objects.count_compare,
        augmentation_objects.count_difference,
        augmentation_objects.count_objects,
        augmentation_objects.region_box,
        augmentation_objects.region_horizontal,
        augmentation_objects.region_name,
        augmentation_objects.region_size,
        augmentation_objects.region_vertical,
        augmentation_tables.table_average,
        augmentation_tables.table_cell,
        augmentation_tables.table_count_above,
        augmentation_tables.table_difference,
        augmentation_tables.table_max,
        augmentation_tables.table_min,
        augmentation_tables.table_row_sum,
        augmentation_tables.table_sum,
        describe_shape,
        digit_parity,
        ocr_count_words,
    )
}
# Where none of these stands in `meta`, a rule of that name can't fit: most samples are passed over at little cost.
_FACTS = {"chart": ("chart",), "table": ("table",), "region": ("boxes",), "count": ("objects", "boxes")}
NEEDS: dict[str, tuple[str, ...]] = {
    name: _FACTS[name.partition("_")[0]] for name in RULES if name.partition("_")[0] in _FACTS
}


def may_fit(rule: str, sample: Sample) -> bool:
    """False when a sample lacks the facts that a rule computes from."""
    return rule not in NEEDS or any(key in sample.meta for key in NEEDS[rule])
