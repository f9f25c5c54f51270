"""Image and text vectors of every sample, and of the benchmarks that training must not contain."""

from kfp import dsl

from components.images import DATA_IMAGE


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def embedding(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    validation_sha256: str,
    metrics: dsl.Output[dsl.Metrics],
    manifest: dsl.Output[dsl.Dataset],
) -> str:
    """Embed the validated samples and the benchmark sets; downstream steps only compare vectors."""
    from components.door import open_door
    from data.steps import embed_samples

    with open_door("embedding", storage_uri, run_id) as door:
        validation = door.upstream("validation", validation_sha256)
        done = embed_samples(recipe_uri, recipe_sha256, validation, door.out)
        return door.finish(done, metrics, manifest)
