"""From the formatted training set to an evaluated model: stages 1, 1.5 and 2."""

from typing import NamedTuple

from kfp import dsl

from components.evaluation import evaluation
from components.packing import packing
from components.stage_1 import stage_1
from components.stage_1_5 import stage_1_5
from components.stage_2 import stage_2
from components.tokenizer import tokenizer
from pipelines.placement import DATA, EVALUATION, SMALL, TRAINING, place


class Scores(NamedTuple):
    """The hashes of the three evaluations' manifests."""

    stage_1: str
    stage_1_5: str
    stage_2: str


@dsl.pipeline(name="aerie-post-train", description="Tokenizer, then pack, train and evaluate each of three stages.")
def post_train(
    recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str, formatting_sha256: str
) -> NamedTuple("Scores", stage_1=str, stage_1_5=str, stage_2=str):
    """Each stage starts from the checkpoint of the one before; each is evaluated on all held-out questions."""
    run = {
        "recipe_uri": recipe_uri,
        "recipe_sha256": recipe_sha256,
        "storage_uri": storage_uri,
        "run_id": run_id,
    }
    words = place(tokenizer(formatting_sha256=formatting_sha256, **run), SMALL)
    inputs = {"formatting_sha256": formatting_sha256, "tokenizer_sha256": words, **run}

    scores, parent = {}, {}
    for stage, train in {"stage_1": stage_1, "stage_1_5": stage_1_5, "stage_2": stage_2}.items():
        packs = place(packing(stage=stage, **inputs), DATA, f"packing {stage}")
        trained = place(train(packing_sha256=packs, **inputs, **parent), TRAINING)
        scored = place(
            evaluation(stage=stage, checkpoint_sha256=trained, **inputs),
            EVALUATION,
            f"evaluation {stage}",
        )
        scores[stage], parent = scored, {"parent_sha256": trained}
    return Scores(**scores)
