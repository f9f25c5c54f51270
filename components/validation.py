"""Validation in two tasks: the first always leaves its report, the second fails when the report says so.

A failed KFP task loses all its outputs, so a gate that wrote its report and raised would leave nothing to read.
"""

from typing import List

from kfp import dsl

from components.images import DATA_IMAGE


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def validation(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    sources: List[str],
    sourcing_sha256s: List[str],
    metrics: dsl.Output[dsl.Metrics],
    manifest: dsl.Output[dsl.Dataset],
    docs: dsl.Output[dsl.HTML],
) -> str:
    """Join the sources, quarantine what is invalid or leaks, and run the expectations."""
    from components.artifacts import fill
    from components.door import open_door
    from data.steps import validate_samples

    with open_door("validation", storage_uri, run_id) as door:
        parts = zip(sources, sourcing_sha256s, strict=True)
        folders = [door.upstream(f"sourcing/{source}", sha256) for source, sha256 in parts]
        done = validate_samples(recipe_uri, recipe_sha256, folders, door.out)
        fill(docs, door.attachment(done, "docs") or b"")
        return door.finish(done, metrics, manifest)


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def enforcement(storage_uri: str, run_id: str, validation_sha256: str) -> str:
    """Fail the pipeline when a critical expectation failed; hand on the manifest's hash otherwise."""
    from components.door import open_door
    from data.steps import enforce_validation

    with open_door("enforcement", storage_uri, run_id) as door:
        enforce_validation(door.upstream("validation", validation_sha256))
        return validation_sha256
