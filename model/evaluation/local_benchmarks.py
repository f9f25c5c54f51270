"""Local benchmarks: what public ones ask, asked of held-out data that a laptop has.

They exercise every rule that real data can be put to, and show a small model's skills apart. Their figures compare
runs of one recipe; they are not the public benchmarks' figures. Each is built from held-out samples only:

    local-docvqa     anls       lines and words of drawn text; any word of it, counts in figures or words
    local-chartqa    relaxed    values, differences, extremes and trends of charts
    local-ocrbench   ocrbench   drawn lines and handwritten digits
    local-vqa        vqa        shapes and colours; the one answer ten times
    local-choice     choice     lettered options, which are answers of the same source and task
    local-circular   circular   one such question a sample, with each rotation of its options
    local-grounding  iou        boxes of drawn text and shapes
    local-math       mathvista  sums, ranges and means over a chart's values
    local-count      count      words and marks

No local benchmark has pairs of altered figures (HallusionBench), school subjects (MMMU) or answers that only a judge
can score (MM-Vet): no source at hand has the data. Text-only samples are not asked: every benchmark here shows images.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data.schema import Sample
from data.settings.formatting import FormattingSettings
from model.evaluation.local.asking import Asking, spread
from model.evaluation.local.boxes import box_questions
from model.evaluation.local.charts import chart_questions, count_questions, math_questions
from model.evaluation.local.choices import choice_questions, circular_questions
from model.evaluation.local.reading import document_questions, recognition_questions, scene_questions
from model.evaluation.questions import Question
from model.evaluation.rules import RULES_VERSION
from model.recipe import Recipe

VERSION = 1  # raise it when a benchmark asks otherwise: finished evaluations then ask again
_PLAIN: Mapping[str, Callable[[Asking, str], list[Question]]] = {
    "local-docvqa": document_questions,
    "local-chartqa": chart_questions,
    "local-ocrbench": recognition_questions,
    "local-vqa": scene_questions,
    "local-grounding": box_questions,
    "local-math": math_questions,
    "local-count": count_questions,
}
# These keep right letters and groups even under a cap, and so cap themselves.
_LETTERED: Mapping[str, Callable[[Asking, str, int | None], list[Question]]] = {
    "local-choice": choice_questions,
    "local-circular": circular_questions,
}
LOCAL_BENCHMARKS = (*_PLAIN, *_LETTERED)


def local_benchmarks(
    samples: Sequence[Sample],
    seed: int,
    *,
    most: int | None = None,
    formatting: FormattingSettings | None = None,
) -> dict[str, list[Question]]:
    """The questions of each local benchmark, by id; a benchmark that no sample can serve is left out.

    Held-out samples come as the formatting step wrote them. A question's `source` is its benchmark; `facts.source` is
    where its sample comes from. `most` bounds each benchmark, evenly over sources and tasks. Equal samples and an equal
    seed give equal questions, in whatever order the samples come; ids depend on the sample alone.
    """
    asking = Asking.of(samples, seed, formatting or FormattingSettings())
    made = {name: spread(make(asking, name), most, seed, _about) for name, make in _PLAIN.items()}
    made |= {name: make(asking, name, most) for name, make in _LETTERED.items()}
    return {name: sorted(questions, key=lambda one: one.question_id) for name, questions in made.items() if questions}


def benchmark_questions(recipe: Recipe, samples: Sequence[Sample]) -> list[Question]:
    """What a recipe's evaluation asks beside the held-out questions: nothing unless it switches local benchmarks on."""
    settings = recipe.evaluation
    if not settings.local_benchmarks:
        return []
    made = local_benchmarks(
        samples, recipe.seed, most=settings.max_questions_per_benchmark, formatting=recipe.data.formatting
    )
    return [question for questions in made.values() for question in questions]


def benchmark_identity(recipe: Recipe) -> dict[str, Any]:
    """What an evaluation's fingerprint must hold of the local benchmarks; empty while they are off."""
    settings = recipe.evaluation
    if not settings.local_benchmarks:
        return {}
    most, formatting = settings.max_questions_per_benchmark, recipe.data.formatting.model_dump()
    return {"local_benchmarks": {"version": VERSION, "rules": RULES_VERSION, "most": most, "formatting": formatting}}


def is_local(source: str) -> bool:
    """True for the source of a question that `local_benchmarks` made."""
    return source in LOCAL_BENCHMARKS


def _about(question: Question) -> tuple[str, str, str]:
    return question.facts["source"], question.task, question.question_id
