"""The three stages' subsets."""

from kfp import dsl

from components.images import DATA_IMAGE


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def selection(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    filtering_sha256: str,
    embedding_sha256: str,
    metrics: dsl.Output[dsl.Metrics],
    manifest: dsl.Output[dsl.Dataset],
    docs: dsl.Output[dsl.HTML],
) -> str:
    """Decide which samples each stage sees; stage 2 by balanced K-means draw or another strategy per category."""
    from components.artifacts import fill
    from components.door import open_door
    from data.steps import select_samples

    with open_door("selection", storage_uri, run_id) as door:
        filtering = door.upstream("filtering", filtering_sha256)
        embedding = door.upstream("embedding", embedding_sha256)
        done = select_samples(recipe_uri, recipe_sha256, filtering, embedding, door.out)
        fill(docs, door.attachment(done, "docs") or b"")
        return door.finish(done, metrics, manifest)
