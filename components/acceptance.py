"""The promotion gate's second task: fails when the comparison says no, else the checkpoint enters the registry."""

from kfp import dsl

from components.images import EVAL_IMAGE


@dsl.component(base_image=EVAL_IMAGE, install_kfp_package=False)
def acceptance(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    promotion_sha256: str,
    model: dsl.Output[dsl.Model],
) -> str:
    """Fail the pipeline when the gate refused the checkpoint; enter it into STORAGE/registry otherwise."""
    from components.artifacts import fill
    from components.door import open_door
    from data.files import join
    from model.evaluation.promotion.acceptance import accept_checkpoint
    from model.evaluation.promotion.registry import registry_folder

    with open_door("acceptance", storage_uri, run_id) as door:
        door.upstream("promotion", promotion_sha256)
        registry = registry_folder(storage_uri)
        done = accept_checkpoint(recipe_uri, recipe_sha256, join(storage_uri, run_id), registry)
        print(f"acceptance: {done.said}")
        fill(model, done.to_json())
        model.metadata.update(done.metadata())
        return promotion_sha256
