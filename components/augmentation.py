"""Rule-based augmentation with computed answers."""

from kfp import dsl

from components.images import DATA_IMAGE


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def augmentation(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    selection_sha256: str,
    metrics: dsl.Output[dsl.Metrics],
    manifest: dsl.Output[dsl.Dataset],
) -> str:
    """Add rule-made turns whose answers are computed and whose provenance is kept."""
    from components.door import open_door
    from data.steps import augment_samples

    with open_door("augmentation", storage_uri, run_id) as door:
        selection = door.upstream("selection", selection_sha256)
        done = augment_samples(recipe_uri, recipe_sha256, selection, door.out)
        return door.finish(done, metrics, manifest)
