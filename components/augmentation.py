"""Augmentation: questions with computed answers, and answers that an endpoint makes longer."""

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
    """Add rule-made turns and checked rewrites of an endpoint, each with its provenance.

    The endpoint's key comes from the environment variable that the recipe names; it is no parameter.
    """
    import json

    from components.door import flat_numbers, log_metrics, open_door
    from data.steps import augment_samples

    with open_door("augmentation", storage_uri, run_id) as door:
        selection = door.upstream("selection", selection_sha256)
        done = augment_samples(recipe_uri, recipe_sha256, selection, door.out)
        report = json.loads(door.attachment(done, "report") or b"{}")
        log_metrics(metrics, flat_numbers(report, "augmentation"))
        return door.finish(done, metrics, manifest)
