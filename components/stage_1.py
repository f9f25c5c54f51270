"""Stage 1: the connector learns to speak the language model's tongue."""

from kfp import dsl

from components.images import MODEL_IMAGE


@dsl.component(base_image=MODEL_IMAGE, install_kfp_package=False)
def stage_1(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    packing_sha256: str,
    formatting_sha256: str,
    tokenizer_sha256: str,
    metrics: dsl.Output[dsl.Metrics],
    manifest: dsl.Output[dsl.Model],
) -> str:
    """Train stage 1 from the freshly initialised network."""
    from components.door import open_door
    from model.training.run import train_stage

    with open_door("stage_1", storage_uri, run_id) as door:
        packing = door.upstream("packing/stage_1", packing_sha256)
        formatting = door.upstream("formatting", formatting_sha256)
        tokenizer = door.upstream("tokenizer", tokenizer_sha256)
        done = train_stage(recipe_uri, recipe_sha256, "stage_1", packing, formatting, tokenizer, "", door.out)
        return door.finish(done, metrics, manifest)
