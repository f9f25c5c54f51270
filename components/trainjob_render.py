"""Render-only mode: a stage's TrainJob as the launcher would create it, without a cluster."""

from typing import Any

from components.trainjob_manifest import read_placement, render

PARENTS = {"stage_1": "", "stage_1_5": "stage_1", "stage_2": "stage_1_5"}


def render_stage(
    recipe_uri: str,
    stage: str,
    storage_uri: str,
    run_id: str,
    placement: str,
    training_runtime: str,
    kfp_run_id: str = "",
    exact: bool = False,
) -> dict[str, Any]:
    """The TrainJob of a run's stage.

    `exact` reads the inputs' manifests in `storage_uri` and gives precisely the launcher's job. Without it nothing but
    the recipe is read, and the argument `--fingerprint` stays empty.
    """
    from data.errors import AerieError
    from data.files import step_folder
    from model.recipe import load_recipe
    from model.training.job import TrainingJob
    from model.training.run import training_job

    if stage not in PARENTS:
        raise AerieError(f"unknown stage {stage!r}; choose from {list(PARENTS)}")
    recipe = load_recipe(recipe_uri)
    parent = PARENTS[stage]
    folders = {
        "packing_uri": step_folder(storage_uri, run_id, "packing", stage),
        "formatting_uri": step_folder(storage_uri, run_id, "formatting"),
        "tokenizer_uri": step_folder(storage_uri, run_id, "tokenizer"),
        "parent_uri": step_folder(storage_uri, run_id, parent) if parent else "",
        "out_uri": step_folder(storage_uri, run_id, stage),
    }
    common = {"stage": stage, "recipe_uri": recipe_uri, "recipe_sha256": recipe.sha256, **folders}
    job = training_job(recipe, **common)[0] if exact else TrainingJob(**common, fingerprint="")
    return render(job, recipe, read_placement(placement), training_runtime, run_id, kfp_run_id)


def render_yaml(manifest: dict[str, Any]) -> str:
    """A manifest as YAML text."""
    import yaml

    return yaml.safe_dump(manifest, sort_keys=False)
