"""The self-contained HTML report of a run."""

from kfp import dsl

from components.images import EVAL_IMAGE


@dsl.component(base_image=EVAL_IMAGE, install_kfp_package=False)
def report(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    formatting_sha256: str,
    stage_1_scores_sha256: str,
    stage_1_5_scores_sha256: str,
    stage_2_scores_sha256: str,
    promotion_sha256: str,
    page: dsl.Output[dsl.HTML],
    manifest: dsl.Output[dsl.Artifact],
) -> str:
    """Gather all manifests of the run into one page and one summary."""
    from components.artifacts import fill
    from components.door import open_door
    from data.files import join
    from model.evaluation.summary import write_report
    from model.recipe import STAGES

    with open_door("report", storage_uri, run_id) as door:
        door.upstream("formatting", formatting_sha256)
        scores = (stage_1_scores_sha256, stage_1_5_scores_sha256, stage_2_scores_sha256)
        for stage, sha256 in zip(STAGES, scores, strict=True):
            door.upstream(f"evaluation/{stage}", sha256)
        door.upstream("promotion", promotion_sha256)
        done = write_report(recipe_uri, recipe_sha256, join(storage_uri, run_id), door.out)
        fill(page, door.attachment(done, "page") or b"")
        return door.finish(done, manifest=manifest)


def render_again(recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str, against_uri: str = "") -> str:
    """Write the report of a finished run anew outside a pipeline; returns its folder.

    Scores that fell are then those since the run in `against_uri`, if one is named.
    """
    from data.files import join, step_folder
    from model.evaluation.summary import write_report

    folder = step_folder(storage_uri, run_id, "report")
    write_report(recipe_uri, recipe_sha256, join(storage_uri, run_id), folder, against_uri or None)
    return folder
