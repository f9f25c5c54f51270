"""Quality filters: measure first, decide later."""

from kfp import dsl

from components.images import DATA_IMAGE


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def filtering(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    gate_sha256: str,
    embedding_sha256: str,
    metrics: dsl.Output[dsl.Metrics],
    manifest: dsl.Output[dsl.Dataset],
    docs: dsl.Output[dsl.HTML],
) -> str:
    """Measure every sample and drop those beyond a threshold, each with its reason."""
    from components.artifacts import fill
    from components.door import open_door
    from data.steps import filter_samples

    with open_door("filtering", storage_uri, run_id) as door:
        gate = door.upstream("gate", gate_sha256)
        embedding = door.upstream("embedding", embedding_sha256)
        done = filter_samples(recipe_uri, recipe_sha256, gate, door.out, embedding)
        fill(docs, door.attachment(done, "docs") or b"")
        return door.finish(done, metrics, manifest)
