"""The evaluation step: a checkpoint answers the held-out questions; predictions and scores are stored."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from data.errors import AerieError
from data.files import join
from data.folders import remove_folder
from data.ledger import Tally
from data.progress import Progress
from data.schema import Sample
from data.storage import (
    Manifest,
    attach,
    commit,
    committed,
    fingerprint,
    read_manifest,
    read_samples,
)
from model.evaluation.answer_shards import answer_in_shards, begun_with, shard_predictions
from model.evaluation.baselines import MajorityBaseline
from model.evaluation.local_benchmarks import benchmark_identity, benchmark_questions, is_local
from model.evaluation.predictions import Prediction, predicted, predictions_parquet
from model.evaluation.questions import Question, capped, heldout_samples, sample_questions
from model.evaluation.scored import rule_table
from model.evaluation.scorers import RULES_VERSION
from model.evaluation.scores import scores_document
from model.recipe import STAGES, Recipe, load_recipe

if TYPE_CHECKING:
    from model.evaluation.predict import Answerer

VERSION = 2
CAP_REASON = "early_stage_cap"
ANSWERED = "answered"  # the folder of what is answered so far; gone once the step is committed
QUESTIONS_PER_SHARD = 2048  # blinded questions are often equal: one shard asks them once


def evaluate_checkpoint(
    recipe_uri: str,
    recipe_sha256: str,
    stage: str,
    checkpoint_uri: str,
    formatting_uri: str,
    tokenizer_uri: str,
    out_uri: str,
) -> Manifest:
    """Ask a stage's checkpoint every held-out question (early stages: a seeded sample of each source).

    Attachments: `predictions` (Parquet of `PREDICTION_SCHEMA`) and `scores` (JSON). The ledger counts questions.
    After the last stage every question about an image is asked once more with its images blanked, and the local
    benchmarks are asked if the recipe wants them: their answers are the attachment `benchmarks`, of the same schema.
    """
    recipe = load_recipe(recipe_uri, recipe_sha256)
    if stage not in STAGES:
        raise AerieError(f"unknown stage {stage!r}; choose from {list(STAGES)}")
    last = stage == STAGES[-1]
    cap = None if last else recipe.evaluation.max_samples_early_stages
    checkpoint, formatted = read_manifest(checkpoint_uri), read_manifest(formatting_uri)
    lineage = {
        stage: checkpoint.sha256(),
        "formatting": formatted.sha256(),
        "tokenizer": read_manifest(tokenizer_uri).sha256(),
    }
    mark = _mark(recipe, stage, cap, last, lineage)
    if (done := committed(out_uri, mark)) is not None:
        return done
    from model.evaluation.predict import Answerer  # PyTorch takes seconds, which a finished step need not wait

    samples = heldout_samples(formatting_uri, formatted)
    questions, tally = chosen_questions(recipe, cap, samples)
    if last:
        questions += benchmark_questions(recipe, samples)
    answerer = Answerer.load(recipe, checkpoint_uri, tokenizer_uri)
    majority = training_majority(formatting_uri, formatted)
    answered = join(out_uri, ANSWERED)
    every = _asked(answerer, questions, majority, stage, checkpoint.sha256(), answered, mark)
    predictions = [prediction for prediction in every if not is_local(prediction.source)]
    local = [prediction for prediction in every if is_local(prediction.source)]
    document = scores_document(stage, checkpoint.sha256(), predictions, cap)
    document["benchmarks"] = rule_table([prediction.answered() for prediction in local if not prediction.blind])
    manifest = Manifest(
        step=f"evaluation/{stage}",
        fingerprint=mark,
        recipe_sha256=recipe.sha256,
        rows=len(predictions),
        shards=(),
        counts=tally.counts(),
        lineage=lineage,
        attachments={
            "predictions": attach(out_uri, "predictions.parquet", predictions_parquet(predictions)),
            "scores": attach(out_uri, "scores.json", json.dumps(document, indent=1).encode()),
            **({"benchmarks": attach(out_uri, "benchmarks.parquet", predictions_parquet(local))} if local else {}),
        },
    )
    commit(out_uri, manifest)
    remove_folder(answered)
    return manifest


def _mark(recipe: Recipe, stage: str, cap: int | None, blind: bool, lineage: dict[str, str]) -> str:
    """The fingerprint: all that the predictions depend on (not the batch size: it only sets the speed)."""
    precision = recipe.evaluation.precision
    return fingerprint(
        step=f"evaluation/{stage}",
        version=VERSION,
        rules=RULES_VERSION,
        cap=cap,
        blind=blind,
        max_new_tokens=recipe.evaluation.max_new_tokens,
        seed=recipe.seed,
        inputs=lineage,
        **(benchmark_identity(recipe) if stage == STAGES[-1] else {}),
        **({} if precision == "bf16" else {"precision": precision}),  # marks from before the setting stay
    )


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


def _asked(
    answerer: "Answerer",
    questions: Sequence[Question],
    majority: MajorityBaseline,
    stage: str,
    checkpoint: str,
    folder: str,
    mark: str,
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
    settings = {"evaluation": mark, "torch": version("torch"), "device": answerer.device.type}
    if begun_with(folder) not in (None, settings):
        remove_folder(folder)  # another checkpoint's or another machine's: never mixed

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
