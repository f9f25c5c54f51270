"""The promotion gate's first task: compare the last checkpoint with the last accepted one and leave a report.

It never fails because of what it finds: a failed KFP task loses all its outputs. `components/acceptance.py` fails.
"""

from kfp import dsl

from components.images import EVAL_IMAGE


@dsl.component(base_image=EVAL_IMAGE, install_kfp_package=False)
def promotion(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    checkpoint_sha256: str,
    evaluation_sha256: str,
    judging_sha256: str,
    metrics: dsl.Output[dsl.Metrics],
    table: dsl.Output[dsl.Markdown],
    manifest: dsl.Output[dsl.Dataset],
) -> str:
    """Compare the predictions of the last stage with those of the registry's last checkpoint."""
    import json

    from components.artifacts import fill
    from components.door import log_metrics, open_door
    from model.evaluation.promotion.gate import compare_with_accepted
    from model.evaluation.promotion.registry import registry_folder
    from model.evaluation.promotion.views import comparison_markdown, comparison_metrics

    with open_door("promotion", storage_uri, run_id) as door:
        checkpoint = door.upstream("stage_2", checkpoint_sha256)
        evaluation = door.upstream("evaluation/stage_2", evaluation_sha256)
        judged = door.upstream("judging", judging_sha256)
        registry = registry_folder(storage_uri)
        done = compare_with_accepted(recipe_uri, recipe_sha256, checkpoint, evaluation, judged, registry, door.out)
        report = json.loads(door.attachment(done, "report") or b"{}")
        log_metrics(metrics, comparison_metrics(report))
        fill(table, comparison_markdown(report))
        return door.finish(done, metrics, manifest)
