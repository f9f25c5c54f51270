"""Packs of one stage: which samples share a sequence, in which order."""

from kfp import dsl

from components.images import EVAL_IMAGE


@dsl.component(base_image=EVAL_IMAGE, install_kfp_package=False)
def packing(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    stage: str,
    formatting_sha256: str,
    tokenizer_sha256: str,
    metrics: dsl.Output[dsl.Metrics],
    manifest: dsl.Output[dsl.Dataset],
) -> str:
    """Plan the packs of one stage from the samples' exact token counts."""
    from components.door import open_door
    from model.steps import pack_stage

    with open_door(f"packing/{stage}", storage_uri, run_id) as door:
        formatting = door.upstream("formatting", formatting_sha256)
        tokenizer = door.upstream("tokenizer", tokenizer_sha256)
        done = pack_stage(recipe_uri, recipe_sha256, stage, formatting, tokenizer, door.out)
        return door.finish(done, metrics, manifest)
