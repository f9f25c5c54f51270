"""One source card read into shards; the pipeline runs it once per source."""

from kfp import dsl

from components.images import DATA_IMAGE


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def sourcing(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    source: str,
    metrics: dsl.Output[dsl.Metrics],
    manifest: dsl.Output[dsl.Dataset],
) -> str:
    """Read one source of the recipe: training shards, held-out file, quarantine."""
    from components.door import open_door
    from data.steps import source_samples

    with open_door(f"sourcing/{source}", storage_uri, run_id) as door:
        done = source_samples(recipe_uri, recipe_sha256, source, door.out)
        return door.finish(done, metrics, manifest)
