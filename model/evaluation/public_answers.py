"""A checkpoint answers public benchmarks within the evaluation step; scores follow from what is stored."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from data.files import join
from data.progress import Progress
from model.evaluation.answer_shards import answer_in_shards, drop_others, shard_predictions
from model.evaluation.benchmark_scores import AnsweredBenchmark
from model.evaluation.predictions import Prediction, predicted
from model.evaluation.public_benchmarks import PublicBenchmark, PublicBenchmarks
from model.evaluation.public_questions import QuestionStream, listing
from model.recipe import Recipe

if TYPE_CHECKING:
    from model.evaluation.predict import Answerer

QUESTIONS_PER_SHARD = 512  # of so many the encoded pictures are in memory at once


def public_answers(
    answerer: "Answerer",
    recipe: Recipe,
    found: PublicBenchmarks,
    checkpoint: str,
    folder: str,
    settings: Mapping[str, Any],
) -> Iterator[AnsweredBenchmark]:
    """Each benchmark asked once, greedy, with its card's wording and with its images: none is asked blind.

    Answers are kept under FOLDER/NAME as they come, so that a killed step asks only the rest.
    """
    for benchmark in found.there:
        place = join(folder, benchmark.card.name)
        drop_others(place, settings)
        yield _answered(answerer, recipe, benchmark, checkpoint, place, settings)


def _answered(
    answerer: "Answerer",
    recipe: Recipe,
    benchmark: PublicBenchmark,
    checkpoint: str,
    folder: str,
    settings: Mapping[str, Any],
) -> AnsweredBenchmark:
    card, place, limits = benchmark.card, benchmark.place, recipe.evaluation
    listed = listing(card, place, limits.max_questions_per_public_benchmark, recipe.seed)
    stream = QuestionStream(card, place)

    def ask(first: int, last: int, progress: Progress) -> list[Prediction]:
        asked = stream.take(listed.asked[first:last])
        outputs = answerer.answers(asked, blind=False, within=progress, limit=limits.public_max_new_tokens)
        return [predicted(one, output, checkpoint=checkpoint) for one, output in zip(asked, outputs, strict=True)]

    keys = [(question_id, False) for question_id in listed.asked]
    shards = answer_in_shards(folder, settings, keys, ask, label=card.name, questions_per_shard=QUESTIONS_PER_SHARD)
    rows = [row for shard in shards for row in shard_predictions(folder, shard, card.name)]
    return AnsweredBenchmark(predictions=tuple(rows), of=listed.of)
