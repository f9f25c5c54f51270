"""Stage 2: everything trains on the selected, balanced subset."""

from kfp import dsl

from components.images import STAGE_IMAGE


@dsl.component(base_image=STAGE_IMAGE, install_kfp_package=False)
def stage_2(
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
    parent_sha256: str,
    metrics: dsl.Output[dsl.Metrics],
    curves: dsl.Output[dsl.HTML],
    manifest: dsl.Output[dsl.Model],
) -> str:
    """Train stage 2 from stage 1.5's checkpoint."""
    from components.artifacts import fill
    from components.door import log_metrics, open_door
    from components.trainjob import launcher_for
    from model.evaluation.task_views import training_page
    from model.training.run import train_stage
    from model.training.training_summary import training_metrics

    with open_door("stage_2", storage_uri, run_id) as door:
        packing = door.upstream("packing/stage_2", packing_sha256)
        formatting = door.upstream("formatting", formatting_sha256)
        tokenizer = door.upstream("tokenizer", tokenizer_sha256)
        parent = door.upstream("stage_1_5", parent_sha256)
        launch = launcher_for(training_runtime, placement, run_id, kfp_run_id)
        done = train_stage(
            recipe_uri, recipe_sha256, "stage_2", packing, formatting, tokenizer, parent, door.out, launch
        )
        fill(curves, training_page(recipe_uri, recipe_sha256, storage_uri, run_id, "stage_2"))
        log_metrics(metrics, training_metrics("stage_2", door.out, done))
        return door.finish(done, metrics, manifest)
