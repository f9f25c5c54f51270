"""The whole recipe as one graph: curate, post-train, report. This is what `aerie run` and a cluster execute."""

from typing import List

from kfp import dsl

from components.report import report
from pipelines.curate import curate
from pipelines.placement import REPORT, place
from pipelines.post_train import post_train


@dsl.pipeline(name="aerie-end-to-end", description="The Eagle 2 recipe from source cards to an evaluated model.")
def end_to_end(recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str, sources: List[str]) -> str:
    """Run the recipe at `recipe_uri` into STORAGE/RUN_ID; returns the hash of the report's manifest.

    Args:
        recipe_uri: where the recipe file lies (local path or s3://).
        recipe_sha256: its content hash; a changed file stops the run.
        storage_uri: folder or s3:// prefix that holds all runs.
        run_id: name of this run; an equal name resumes.
        sources: the recipe's source names, one sourcing task each.
    """
    run = {
        "recipe_uri": recipe_uri,
        "recipe_sha256": recipe_sha256,
        "storage_uri": storage_uri,
        "run_id": run_id,
    }
    curated = curate(sources=sources, **run).set_display_name("curate")
    trained = post_train(formatting_sha256=curated.output, **run).set_display_name("post-train")
    return place(
        report(
            formatting_sha256=curated.output,
            stage_1_scores_sha256=trained.outputs["stage_1"],
            stage_1_5_scores_sha256=trained.outputs["stage_1_5"],
            stage_2_scores_sha256=trained.outputs["stage_2"],
            **run,
        ),
        REPORT,
    )
