"""Canonical text: decorations stripped, answer-format instructions added."""

from kfp import dsl

from components.images import DATA_IMAGE


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def formatting(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    augmentation_sha256: str,
    validation_sha256: str,
    metrics: dsl.Output[dsl.Metrics],
    ledger: dsl.Output[dsl.Markdown],
    manifest: dsl.Output[dsl.Dataset],
) -> str:
    """Format training and held-out conversations with the same rules."""
    from components.artifacts import fill
    from components.door import open_door
    from data.ledger_markdown import curation_ledger
    from data.steps import format_samples

    with open_door("formatting", storage_uri, run_id) as door:
        augmentation = door.upstream("augmentation", augmentation_sha256)
        validation = door.upstream("validation", validation_sha256)
        done = format_samples(recipe_uri, recipe_sha256, augmentation, validation, door.out)
        fill(ledger, curation_ledger(recipe_uri, recipe_sha256, storage_uri, run_id))
        return door.finish(done, metrics, manifest)
