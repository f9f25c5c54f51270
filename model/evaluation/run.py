"""The evaluation step: a checkpoint answers the held-out questions; predictions and scores are stored."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from data.errors import AerieError
from data.files import join
from data.folders import remove_folder
from data.storage import (
    Manifest,
    attach,
    commit,
    committed,
    fingerprint,
    read_manifest,
)
from model.evaluation.benchmark_scores import benchmark_document
from model.evaluation.local_benchmarks import benchmark_identity, benchmark_questions, is_local
from model.evaluation.predictions import Prediction, predictions_parquet
from model.evaluation.public_answers import public_answers
from model.evaluation.public_benchmarks import PublicBenchmarks, public_benchmarks, public_identity
from model.evaluation.questions import heldout_samples
from model.evaluation.scorers import RULES_VERSION
from model.evaluation.scores import scores_document
from model.evaluation.step_answers import chosen_questions, step_answers, training_majority
from model.recipe import STAGES, Recipe, load_recipe

if TYPE_CHECKING:
    from model.evaluation.predict import Answerer

VERSION = 2
ANSWERED = "answered"  # the folder of what is answered so far; gone once the step is committed


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
    After the last stage every question about an image is asked once more with its images blanked, and benchmarks are
    asked if the recipe wants them, local ones blanked as well, public ones not: their answers are the attachment
    `benchmarks`, of the same schema.
    """
    recipe = load_recipe(recipe_uri, recipe_sha256)
    if stage not in STAGES:
        raise AerieError(f"unknown stage {stage!r}; choose from {list(STAGES)}")
    last = stage == STAGES[-1]
    cap = None if last else recipe.evaluation.max_samples_early_stages
    checkpoint, formatted = read_manifest(checkpoint_uri), read_manifest(formatting_uri)
    words = read_manifest(tokenizer_uri).sha256()
    lineage = {stage: checkpoint.sha256(), "formatting": formatted.sha256(), "tokenizer": words}
    public = public_benchmarks(recipe, recipe_uri) if last else PublicBenchmarks()
    mark = _mark(recipe, stage, cap, public, lineage)
    if (done := committed(out_uri, mark)) is not None:
        return done
    from model.evaluation.predict import Answerer  # PyTorch takes seconds, which a finished step need not wait

    samples = heldout_samples(formatting_uri, formatted)
    questions, tally = chosen_questions(recipe, cap, samples)
    if last:
        questions += benchmark_questions(recipe, samples)
    answerer = Answerer.load(recipe, checkpoint_uri, tokenizer_uri)
    majority, network = training_majority(formatting_uri, formatted), checkpoint.sha256()
    answered, settings = join(out_uri, ANSWERED), _settings(answerer, mark)
    every = step_answers(answerer, questions, majority, stage, network, answered, settings)
    asked = list(public_answers(answerer, recipe, public, network, answered, settings))
    predictions = [prediction for prediction in every if not is_local(prediction.source)]
    local = [prediction for prediction in every if is_local(prediction.source)]
    not_run = public.not_run if last and recipe.evaluation.benchmark_data is not None else None
    document = scores_document(stage, network, predictions, cap) | benchmark_document(local, asked, not_run)
    benchmarks = [*local, *(row for one in asked for row in one.predictions)]
    manifest = Manifest(
        step=f"evaluation/{stage}",
        fingerprint=mark,
        recipe_sha256=recipe.sha256,
        rows=len(predictions),
        shards=(),
        counts=tally.counts(),
        lineage=lineage,
        attachments=_attached(out_uri, document, predictions, benchmarks),
    )
    commit(out_uri, manifest)
    remove_folder(answered)
    return manifest


def _attached(
    out_uri: str, document: dict[str, Any], predictions: Sequence[Prediction], benchmarks: Sequence[Prediction]
) -> dict[str, dict[str, str]]:
    files = {
        "predictions": attach(out_uri, "predictions.parquet", predictions_parquet(predictions)),
        "scores": attach(out_uri, "scores.json", json.dumps(document, indent=1).encode()),
    }
    if benchmarks:
        files["benchmarks"] = attach(out_uri, "benchmarks.parquet", predictions_parquet(benchmarks))
    return files


def _mark(recipe: Recipe, stage: str, cap: int | None, public: PublicBenchmarks, lineage: dict[str, str]) -> str:
    """The fingerprint: all that the predictions depend on (not the batch size: it only sets the speed)."""
    precision, last = recipe.evaluation.precision, stage == STAGES[-1]
    return fingerprint(
        step=f"evaluation/{stage}",
        version=VERSION,
        rules=RULES_VERSION,
        cap=cap,
        blind=last,
        max_new_tokens=recipe.evaluation.max_new_tokens,
        seed=recipe.seed,
        inputs=lineage,
        **(benchmark_identity(recipe) | public_identity(recipe, public) if last else {}),
        **({} if precision == "bf16" else {"precision": precision}),  # marks from before the setting stay
    )


def _settings(answerer: "Answerer", mark: str) -> dict[str, str]:
    """All that answers depend on: another machine may give others."""
    return {"evaluation": mark, "torch": version("torch"), "device": answerer.device.type}
