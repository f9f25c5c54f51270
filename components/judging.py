"""Answers to benchmarks that only a judge can score, put before the recipe's judge."""

from kfp import dsl

from components.images import EVAL_IMAGE


@dsl.component(base_image=EVAL_IMAGE, install_kfp_package=False)
def judging(
    recipe_uri: str,
    recipe_sha256: str,
    storage_uri: str,
    run_id: str,
    evaluation_sha256: str,
    metrics: dsl.Output[dsl.Metrics],
    table: dsl.Output[dsl.Markdown],
    manifest: dsl.Output[dsl.Dataset],
) -> str:
    """Have the last stage's answers graded, where the recipe names a judge, and score them anew.

    The judge's key comes from the environment variable that the recipe names; it is no parameter.
    """
    import json

    from components.artifacts import fill
    from components.door import flat_numbers, log_metrics, open_door
    from model.evaluation.judging_step import judge_benchmarks
    from model.evaluation.task_views import judging_markdown

    with open_door("judging", storage_uri, run_id) as door:
        evaluation = door.upstream("evaluation/stage_2", evaluation_sha256)
        done = judge_benchmarks(recipe_uri, recipe_sha256, evaluation, door.out)
        scores = json.loads(door.attachment(done, "scores") or b"{}")
        log_metrics(metrics, flat_numbers(scores["judging"], "judging"))
        fill(table, judging_markdown(scores))
        return door.finish(done, metrics, manifest)
