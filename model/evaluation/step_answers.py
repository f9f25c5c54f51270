"""What an evaluation step asks of held-out samples and of what is made of them, and the answers as they come."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.ledger import Tally
from data.progress import Progress
from data.schema import Sample
from data.storage import Manifest, read_samples
from model.evaluation.answer_shards import answer_in_shards, drop_others, shard_predictions
from model.evaluation.baselines import MajorityBaseline
from model.evaluation.predictions import Prediction, predicted
from model.evaluation.questions import Question, capped, sample_questions
from model.recipe import STAGES, Recipe

if TYPE_CHECKING:
    from model.evaluation.predict import Answerer

CAP_REASON = "early_stage_cap"
QUESTIONS_PER_SHARD = 2048  # blinded questions are often equal: one shard asks them once


def chosen_questions(recipe: Recipe, cap: int | None, samples: Sequence[Sample]) -> tuple[list[Question], Tally]:
    """The questions to ask, and the count of all held-out questions: asked, or left out by the cap."""
    kept = {sample.sample_id for sample in capped(samples, cap, recipe.seed)}
    tally, questions = Tally("evaluation"), []
    for sample in samples:
        asked = sample_questions(sample)
        tally.take(sample.source, len(asked))
        if sample.sample_id in kept:
            tally.keep(sample.source, len(asked))
            questions += asked
        else:
            tally.drop(sample.source, CAP_REASON, len(asked))
    return questions, tally


def training_majority(formatting_uri: str, formatted: Manifest) -> MajorityBaseline:
    """The majority baseline, learnt from the samples that some stage trains on."""
    samples = read_samples(formatting_uri, formatted)
    return MajorityBaseline().learn(sample for sample in samples if sample.meta.get("stages"))


def step_answers(
    answerer: "Answerer",
    questions: Sequence[Question],
    majority: MajorityBaseline,
    stage: str,
    checkpoint: str,
    folder: str,
    settings: dict[str, str],
) -> list[Prediction]:
    """Every question's answer; after the last stage also what the network says when it can't see the images.

    Answers are kept under `folder` as they come, so that a killed step asks only the rest.
    """
    asked = [
        (question, blind)
        for blind in ((False, True) if stage == STAGES[-1] else (False,))
        for question in questions
        if question.images or not blind
    ]
    drop_others(folder, settings)

    def ask(first: int, last: int, progress: Progress) -> list[Prediction]:
        rows = []
        for blind in (False, True):
            chosen = [question for question, blinded in asked[first:last] if blinded == blind]
            for question, output in zip(chosen, answerer.answers(chosen, blind=blind, within=progress), strict=True):
                answer = majority.answer(question)
                rows.append(predicted(question, output, checkpoint=checkpoint, blind=blind, majority=answer))
        return rows

    keys = [(question.question_id, blind) for question, blind in asked]
    label = f"evaluation {stage}"
    shards = answer_in_shards(folder, settings, keys, ask, label=label, questions_per_shard=QUESTIONS_PER_SHARD)
    return [row for shard in shards for row in shard_predictions(folder, shard, label)]
