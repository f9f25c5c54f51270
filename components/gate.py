"""The similarity gate (Eq. 1), benchmark decontamination and near-duplicate removal."""

from kfp import dsl

from components.images import DATA_IMAGE


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def gate(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    validation_sha256: str,
    embedding_sha256: str,
    metrics: dsl.Output[dsl.Metrics],
    manifest: dsl.Output[dsl.Dataset],
) -> str:
    """Score each source against the pool; drop redundant sources, benchmark rows and near-duplicates."""
    from components.door import open_door
    from data.steps import gate_sources

    with open_door("gate", storage_uri, run_id) as door:
        validation = door.upstream("validation", validation_sha256)
        embedding = door.upstream("embedding", embedding_sha256)
        done = gate_sources(recipe_uri, recipe_sha256, validation, embedding, door.out)
        return door.finish(done, metrics, manifest)
