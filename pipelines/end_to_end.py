"""The whole recipe as one graph: curate, post-train, report, accept. This is what `aerie run` and a cluster execute."""

from typing import List

from kfp import dsl

from components.report import report
from pipelines.curate import curate
from pipelines.placement import LIFETIME, REPORT, place
from pipelines.post_train import accepting, cleaning_up, stages


@dsl.pipeline(
    name="aerie-end-to-end",
    display_name="Aerie: end to end",
    description="The Eagle 2 recipe from source cards to an evaluated model and its report.",
    pipeline_config=LIFETIME,
)
def end_to_end(
    recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str, sources: List[str], training_runtime: str
):
    """Run the recipe at `recipe_uri` into STORAGE/RUN_ID.

    Args:
        recipe_uri: where the recipe file lies, for example s3://aerie/recipes/tiny.yaml.
        recipe_sha256: the recipe file's sha256; a file that changed meanwhile stops the run.
        storage_uri: s3:// prefix (or local folder) that holds all runs.
        run_id: name of this run; an equal name continues what it finished.
        sources: names of the recipe's sources, one sourcing task each.
        training_runtime: ClusterTrainingRuntime of the stages' TrainJobs; empty trains inside the tasks.
    """
    run = {
        "recipe_uri": recipe_uri,
        "recipe_sha256": recipe_sha256,
        "storage_uri": storage_uri,
        "run_id": run_id,
    }
    with cleaning_up(storage_uri, run_id, training_runtime):
        curated = curate(sources=sources, **run).set_display_name("curate").output
        trained = stages(formatting_sha256=curated, training_runtime=training_runtime, **run)
        trained.set_display_name("three stages")
        scores = {f"{stage}_scores_sha256": trained.outputs[stage] for stage in ("stage_1", "stage_1_5", "stage_2")}
        compared = trained.outputs["promotion"]
        page = report(formatting_sha256=curated, promotion_sha256=compared, **scores, **run)
        # A refusal ends the run: the page that shows why must be there before.
        accepting(compared, **run).after(place(page, REPORT, "report"))
