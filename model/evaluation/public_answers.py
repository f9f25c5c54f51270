"""A checkpoint answers public benchmarks within the evaluation step; scores follow from what is stored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.files import join
from data.progress import Progress
from model.evaluation.answer_shards import answer_in_shards, drop_others, shard_predictions
from model.evaluation.benchmarks.averages import averages
from model.evaluation.predictions import Prediction, predicted
from model.evaluation.public_benchmarks import PublicBenchmark, PublicBenchmarks
from model.evaluation.public_questions import QuestionStream, listing
from model.evaluation.rules import RULE_SETS
from model.evaluation.scored import final_score, rule_table
from model.recipe import Recipe

if TYPE_CHECKING:
    from model.evaluation.predict import Answerer

QUESTIONS_PER_SHARD = 512  # of so many the encoded pictures are in memory at once


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredBenchmark:
    """The answers to one benchmark, and how many questions its files hold."""

    predictions: tuple[Prediction, ...]
    of: int


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


def public_document(answered: Sequence[AnsweredBenchmark], not_run: Mapping[str, str]) -> dict[str, Any]:
    """What a scores file tells of public benchmarks.

    `benchmarks` has the entries of `rule_table`, with `of` (questions in the files) and `judged` (False: only a judge
    could score it); `benchmark_headline` the judged ones' scores by the papers' rules; `averages` those of `averages`,
    over benchmarks that were asked whole; `not_run` says why a benchmark wasn't asked.
    """
    rows = [prediction.answered() for one in answered for prediction in one.predictions]
    table = [
        {**entry, "of": one.of, "judged": not entry["rules"][RULE_SETS[0]]["unjudged"]}
        for entry, one in zip(rule_table(rows), answered, strict=True)
    ]
    whole = [entry for entry in table if entry["questions"] == entry["of"]]
    return {
        "benchmarks": table,
        "benchmark_headline": {
            name: score for name, score in _finals(table, RULE_SETS[0]).items() if score is not None
        },
        "averages": averages({rules: _finals(whole, rules) for rules in RULE_SETS}),
        "not_run": dict(not_run),
    }


def _finals(table: Sequence[dict[str, Any]], rules: str) -> dict[str, float | None]:
    return {entry["benchmark"]: final_score(entry["rules"][rules]) for entry in table}
