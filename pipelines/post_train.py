"""From the formatted training set to an evaluated model: stages 1, 1.5 and 2."""

from typing import Any, NamedTuple

from kfp import dsl

from components.acceptance import acceptance
from components.cleanup import cleanup
from components.evaluation import evaluation
from components.judging import judging
from components.packing import packing
from components.promotion import promotion
from components.stage_1 import stage_1
from components.stage_1_5 import stage_1_5
from components.stage_2 import stage_2
from components.tokenizer import tokenizer
from pipelines.placement import (
    ACCEPTANCE,
    DATA,
    EVALUATION,
    GATE,
    JUDGING,
    LAST_EVALUATION,
    LAUNCHER,
    LIFETIME,
    PROMOTION,
    TOKENIZER,
    TRAINJOB,
    manifest_of,
    place,
)

STAGES = {"stage_1": ("stage 1", stage_1), "stage_1_5": ("stage 1.5", stage_1_5), "stage_2": ("stage 2", stage_2)}


class Scores(NamedTuple):
    """The hashes of the three evaluations' manifests, and of the comparison with the last accepted checkpoint."""

    stage_1: str
    stage_1_5: str
    stage_2: str
    promotion: str


@dsl.pipeline(
    name="aerie-stages",
    display_name="Aerie: three stages",
    description="Tokenizer, then pack, train and evaluate each of the three stages; compare with the last accepted.",
)
def stages(
    recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str, formatting_sha256: str, training_runtime: str
) -> NamedTuple("Scores", stage_1=str, stage_1_5=str, stage_2=str, promotion=str):
    """Each stage starts from the checkpoint of the one before; each is evaluated on all held-out questions.

    The last one's answers are put before the recipe's judge, if it names one, and compared with the last accepted
    checkpoint's, which fails nothing: `accepting` does.
    """
    run = {
        "recipe_uri": recipe_uri,
        "recipe_sha256": recipe_sha256,
        "storage_uri": storage_uri,
        "run_id": run_id,
    }
    words = manifest_of(place(tokenizer(formatting_sha256=formatting_sha256, **run), TOKENIZER, "tokenizer"))
    inputs = {"formatting_sha256": formatting_sha256, "tokenizer_sha256": words, **run}
    # The KFP run's id must be a parameter of its own: inside a longer text a backend leaves the placeholder as it is.
    job = {
        "training_runtime": training_runtime,
        "placement": TRAINJOB.text(),
        "kfp_run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    }
    scores, parent = {}, {}
    for stage, (title, train) in STAGES.items():
        packs = manifest_of(place(packing(stage=stage, **inputs), DATA, f"packing {title}"))
        trained = manifest_of(place(train(packing_sha256=packs, **job, **inputs, **parent), LAUNCHER, title))
        task = evaluation(stage=stage, checkpoint_sha256=trained, **inputs)
        at = LAST_EVALUATION if stage == "stage_2" else EVALUATION
        scores[stage], parent = manifest_of(place(task, at, f"evaluation {title}")), {"parent_sha256": trained}
    answers = {"evaluation_sha256": scores["stage_2"]}
    answers["judging_sha256"] = manifest_of(place(judging(**answers, **run), JUDGING, "judging"))
    compared = promotion(checkpoint_sha256=trained, **answers, **run)
    return Scores(**scores, promotion=manifest_of(place(compared, PROMOTION, "promotion")))


def accepting(promotion_sha256: Any, **run: Any) -> dsl.PipelineTask:
    """The last task of a graph: it fails when the comparison says no."""
    return place(acceptance(promotion_sha256=promotion_sha256, **run), ACCEPTANCE, "acceptance")


def cleaning_up(storage_uri: str, run_id: str, training_runtime: str) -> dsl.ExitHandler:
    """The whole graph stands in this: whatever happens, no TrainJob of the run keeps its GPUs."""
    task = cleanup(
        storage_uri=storage_uri,
        run_id=run_id,
        kfp_run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        training_runtime=training_runtime,
    )
    return dsl.ExitHandler(place(task, GATE, "clean up"), name="run")


@dsl.pipeline(
    name="aerie-post-train",
    display_name="Aerie: post-train",
    description="Train and evaluate stages 1, 1.5 and 2 on a training set that `curate` made.",
    pipeline_config=LIFETIME,
)
def post_train(
    recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str, formatting_sha256: str, training_runtime: str
):
    """Continue a curated run: its folder holds the formatted samples.

    Args:
        recipe_uri: where the recipe file lies, for example s3://aerie/recipes/tiny.yaml.
        recipe_sha256: the recipe file's sha256; a file that changed meanwhile stops the run.
        storage_uri: s3:// prefix (or local folder) that holds all runs.
        run_id: name of the curated run.
        formatting_sha256: hash of its formatting manifest, as `curate` returned it.
        training_runtime: ClusterTrainingRuntime of the stages' TrainJobs; empty trains inside the tasks.
    """
    run = {
        "recipe_uri": recipe_uri,
        "recipe_sha256": recipe_sha256,
        "storage_uri": storage_uri,
        "run_id": run_id,
    }
    with cleaning_up(storage_uri, run_id, training_runtime):
        trained = stages(formatting_sha256=formatting_sha256, training_runtime=training_runtime, **run)
        trained.set_display_name("three stages")
        accepting(trained.outputs["promotion"], **run)
