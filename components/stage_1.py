"""Stage 1: the connector learns to speak the language model's tongue."""

from kfp import dsl

from components.images import STAGE_IMAGE


@dsl.component(base_image=STAGE_IMAGE, install_kfp_package=False)
def stage_1(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    training_runtime: str,
    placement: str,
    kfp_run_id: str,
    packing_sha256: str,
    formatting_sha256: str,
    tokenizer_sha256: str,
    metrics: dsl.Output[dsl.Metrics],
    curves: dsl.Output[dsl.HTML],
    manifest: dsl.Output[dsl.Model],
) -> str:
    """Train stage 1 from the freshly initialised network."""
    from components.artifacts import fill
    from components.door import log_metrics, open_door
    from components.trainjob import launcher_for
    from model.evaluation.task_views import training_page
    from model.training.run import train_stage
    from model.training.training_summary import training_metrics

    with open_door("stage_1", storage_uri, run_id) as door:
        packing = door.upstream("packing/stage_1", packing_sha256)
        formatting = door.upstream("formatting", formatting_sha256)
        tokenizer = door.upstream("tokenizer", tokenizer_sha256)
        launch = launcher_for(training_runtime, placement, run_id, kfp_run_id)
        done = train_stage(recipe_uri, recipe_sha256, "stage_1", packing, formatting, tokenizer, "", door.out, launch)
        fill(curves, training_page(recipe_uri, recipe_sha256, storage_uri, run_id, "stage_1"))
        log_metrics(metrics, training_metrics("stage_1", door.out, done))
        return door.finish(done, metrics, manifest)
